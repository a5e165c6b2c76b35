package terraform

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A checkout is a folder with a copy of check.sh and a fake terraform, which records its
// arguments. Beside the folder is a script that records if it was run.
type checkout struct {
	dir     string
	asked   string // file
	outside string // file, exists if the script beside the checkout was run
}

func newCheckout(t *testing.T, initFails bool) *checkout {
	t.Helper()
	dir := t.TempDir()
	c := &checkout{dir: dir, asked: filepath.Join(dir, "asked"), outside: filepath.Join(dir, "outside")}
	status := "0"
	if initFails {
		status = "1"
	}
	for path, text := range map[string]string{
		"checkout/terraform/check.sh": read(t, "check.sh"),
		"shared/terraform/offline.sh": "#!/bin/sh\ntouch '" + c.outside + "'\n",
		"bin/terraform":               "#!/bin/sh\necho \"$1\" >>'" + c.asked + "'\n[ \"$1\" != init ] || exit " + status + "\n",
	} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// run runs check.sh. It returns its exit status and the arguments of terraform.
func (c *checkout) run(t *testing.T, mode string, environment ...string) (int, string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(c.dir, "checkout/terraform/check.sh"), mode)
	cmd.Env = append([]string{"PATH=" + filepath.Join(c.dir, "bin") + ":/usr/bin:/bin", "HOME=" + c.dir, "TMPDIR=" + c.dir}, environment...)
	out, err := cmd.CombinedOutput()
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatalf("%v: %s", err, out)
	}
	asked, _ := os.ReadFile(c.asked)
	if _, err := os.Stat(c.outside); err == nil {
		t.Error("check.sh ran a script from outside of the checkout")
	}
	return cmd.ProcessState.ExitCode(), strings.Join(strings.Fields(string(asked)), " ")
}

func TestCheckFindsTheProvidersAsTerraformDoes(t *testing.T) {
	config := filepath.Join(t.TempDir(), "terraform.rc")
	overrides := "provider_installation {\n  dev_overrides {\n    \"hashicorp/google\" = \"/somewhere\"\n  }\n}\n"
	if err := os.WriteFile(config, []byte(overrides), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		mode        string
		initFails   bool
		environment []string
		status      int
		asked       string
	}{
		"registry":                       {"check", false, nil, 0, "init fmt validate test"},
		"registry, validate":             {"validate", false, nil, 0, "init fmt validate"},
		"neither, validate":              {"validate", true, nil, 0, "init"},
		"registry, plan":                 {"plan", false, nil, 0, "init test"},
		"overrides":                      {"check", true, []string{"TF_CLI_CONFIG_FILE=" + config}, 0, "get fmt validate test"},
		"overrides, plan":                {"plan", true, []string{"TF_CLI_CONFIG_FILE=" + config}, 0, "get test"},
		"overrides, graph":               {"graph", true, []string{"TF_CLI_CONFIG_FILE=" + config}, 0, "get graph"},
		"neither":                        {"check", true, nil, 0, "init"},
		"neither, though it is required": {"check", true, []string{"REQUIRE_TERRAFORM=1"}, 3, "init"},
		"neither, plan":                  {"plan", true, nil, 3, "init"},
		"a file of other settings":       {"plan", true, []string{"TF_CLI_CONFIG_FILE=/dev/null"}, 3, "init"},
	} {
		t.Run(name, func(t *testing.T) {
			status, asked := newCheckout(t, tc.initFails).run(t, tc.mode, tc.environment...)
			if status != tc.status || asked != tc.asked {
				t.Errorf("status %d after %q, want %d after %q", status, asked, tc.status, tc.asked)
			}
		})
	}
}
