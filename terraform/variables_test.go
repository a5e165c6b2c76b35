package terraform

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// declared returns the bodies of all variables or outputs, by "file: name".
func declared(t *testing.T, block string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, pattern := range []string{"*.tf", "function/*.tf", "edge/*.tf"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			for _, found := range regexp.MustCompile(`(?ms)^`+block+` "(\w+)" \{$(.*?)^\}$`).FindAllStringSubmatch(read(t, file), -1) {
				all[file+": "+found[1]] = found[2]
			}
		}
	}
	if len(all) == 0 {
		t.Fatalf("no %ss", block)
	}
	return all
}

func TestEverythingIsDescribed(t *testing.T) {
	for _, block := range []string{"variable", "output"} {
		for name, body := range declared(t, block) {
			if !strings.Contains(body, "\n  description ") {
				t.Errorf("%s %s has no description", block, name)
			}
			if block == "variable" && !strings.Contains(body, "\n  type ") {
				t.Errorf("variable %s has no type", name)
			}
		}
	}
}

// unvalidated matches folders whose variables the root sets. The root validates the
// values.
var unvalidated = regexp.MustCompile(`^function/`)

// Every variable is validated, except booleans.
func TestVariablesAreValidated(t *testing.T) {
	for name, body := range declared(t, "variable") {
		if !unvalidated.MatchString(name) && !strings.Contains(body, "\n  validation {") && !regexp.MustCompile(`\n  type +=[ ]bool\n`).MatchString(body) {
			t.Errorf("variable %s is not validated", name)
		}
	}
}

func TestVariablesAreUsed(t *testing.T) {
	for name := range declared(t, "variable") {
		file, name, _ := strings.Cut(name, ": ")
		files, _ := filepath.Glob(filepath.Join(filepath.Dir(file), "*.tf"))
		if !slices.ContainsFunc(files, func(other string) bool {
			return other != file && regexp.MustCompile(`\bvar\.`+name+`\b`).MatchString(read(t, other))
		}) {
			t.Errorf("variable %s of %s is not used", name, file)
		}
	}
}

// A file has at most 200 lines, except the list of variables.
func TestFilesAreShort(t *testing.T) {
	var files []string
	for _, pattern := range []string{"*.tf", "*/*.tf", "tests/*/*.tf", "../examples/terraform/*.tf"} {
		found, _ := filepath.Glob(pattern)
		files = append(files, found...)
	}
	if len(files) < 20 {
		t.Errorf("%d files", len(files))
	}
	for _, file := range files {
		if n := strings.Count(read(t, file), "\n"); n > 200 && file != "variables.tf" {
			t.Errorf("%s has %d lines, of at most 200", file, n)
		}
	}
}

// If a variable can be null, its description states the meaning of null. Otherwise null
// means the default.
func TestNullMeansTheDefault(t *testing.T) {
	for name, body := range declared(t, "variable") {
		nullable := !regexp.MustCompile(`\n  nullable +=[ ]false\n`).MatchString(body)
		if meant := strings.Contains(body, "Null: "); nullable != meant {
			t.Errorf("variable %s: nullable is %t, but its description has \"Null: \" is %t", name, nullable, meant)
		}
	}
}
