// Package terraform contains the Go tests of the Terraform configuration. They read the
// mocked plans of tests/*.tftest.hcl, and check rules that HCL cannot express: about all
// resources of a type, about resources in a module, and about the Go code.
package terraform

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// A plan is the plan of one run, as `terraform test -json -verbose` prints it.
type plan struct {
	Outputs   map[string]struct{ After json.RawMessage } `json:"output_changes"`
	Resources []resource                                 `json:"resource_changes"`
}

type resource struct {
	Address, Mode, Type string
	Change              struct {
		Actions       []string
		Before, After map[string]any
	}
}

// text returns an attribute, or "" if it is absent or not a string.
func (r resource) text(name string) string {
	s, _ := r.Change.After[name].(string)
	return s
}

// block returns the first of a resource's nested blocks, or nil if there is none.
func (r resource) block(names ...string) map[string]any {
	at := r.Change.After
	for _, name := range names {
		blocks, _ := at[name].([]any)
		if len(blocks) == 0 {
			return nil
		}
		at, _ = blocks[0].(map[string]any)
	}
	return at
}

func (p plan) of(kind string) []resource {
	return slices.DeleteFunc(slices.Clone(p.Resources), func(r resource) bool { return r.Type != kind })
}

// function returns the function with this name.
func (p plan) function(t *testing.T, name string) resource {
	t.Helper()
	for _, f := range p.of("google_cloudfunctions2_function") {
		if f.text("name") == name {
			return f
		}
	}
	t.Fatalf("no function %s", name)
	return resource{}
}

func (p plan) output(t *testing.T, name string, to any) {
	t.Helper()
	if err := json.Unmarshal(p.Outputs[name].After, to); err != nil {
		t.Fatalf("output %s: %v", name, err)
	}
}

var errNoTerraform = errors.New("no terraform, or no providers")

// check runs check.sh in a mode, and returns its output.
func check(mode string) ([]byte, error) {
	// `go test` caches a result by the files and variables that the test process itself
	// has read.
	for _, pattern := range []string{"*.tf", "*/*.tf", "tests/*.hcl", "tests/*/*.tf", "../examples/terraform/*.tf", "check.sh", os.Getenv("TF_CLI_CONFIG_FILE")} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			if _, err := os.ReadFile(file); err != nil {
				return nil, err
			}
		}
	}
	var out, log bytes.Buffer
	cmd := exec.Command("./check.sh", mode)
	cmd.Stdout, cmd.Stderr = &out, &log
	err := cmd.Run()
	if exit := new(exec.ExitError); errors.As(err, &exit) && exit.ExitCode() == 3 {
		return nil, fmt.Errorf("%w: %s", errNoTerraform, &log)
	}
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, &log)
	}
	return out.Bytes(), err
}

// run runs Terraform's own tests once, and returns their plans by the names of the runs.
// If a run failed, it returns an error and the plans of the other runs.
var run = sync.OnceValues(func() (map[string]plan, error) {
	out, failed := check("plan")
	if errors.Is(failed, errNoTerraform) {
		return nil, failed
	}
	plans := make(map[string]plan)
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var line struct {
			Run        string `json:"@testrun"`
			Type       string
			Plan       plan `json:"test_plan"`
			Diagnostic struct{ Severity, Summary, Detail string }
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return nil, err
		}
		switch {
		case line.Type == "test_plan":
			plans[line.Run] = line.Plan
		case line.Diagnostic.Severity == "error":
			failed = errors.Join(failed, fmt.Errorf("run %s: %s: %s", line.Run, line.Diagnostic.Summary, line.Diagnostic.Detail))
		}
	}
	return plans, errors.Join(failed, lines.Err())
})

// planned returns the plan of a run. It skips the test if Terraform is not available.
func planned(t *testing.T, name string) plan {
	t.Helper()
	plans, err := run()
	if errors.Is(err, errNoTerraform) && os.Getenv("REQUIRE_TERRAFORM") != "1" {
		t.Skip(err)
	}
	if len(plans[name].Resources) == 0 {
		t.Fatalf("no plan of the run %q: %v", name, err)
	}
	return plans[name]
}

// everywhere runs a test on both variants that are planned completely.
func everywhere(t *testing.T, test func(t *testing.T, p plan)) {
	for _, name := range []string{"defaults", "other_values"} {
		t.Run(name, func(t *testing.T) { test(t, planned(t, name)) })
	}
}

// eachString calls see with every string in a value.
func eachString(value any, see func(string)) {
	switch value := value.(type) {
	case string:
		see(value)
	case []any:
		for _, item := range value {
			eachString(item, see)
		}
	case map[string]any:
		for _, item := range value {
			eachString(item, see)
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// same reports an error unless two lists are equal, apart from their order.
func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	for _, item := range got {
		if !slices.Contains(want, item) {
			t.Errorf("%s: unexpected %s", what, item)
		}
	}
	for _, item := range want {
		if !slices.Contains(got, item) {
			t.Errorf("%s: missing %s", what, item)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s: %d, want %d", what, len(got), len(want))
	}
}
