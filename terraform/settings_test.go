package terraform

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// unset lists settings that Terraform leaves at their defaults, each with its reason.
var unset = map[string]string{
	"JWKS_URL":       "Google has one key set; another is for tests",
	"GEMINI_API_URL": "Google has one API; another is for tests",
}

// settingsRead returns the environment variables that a function reads.
func settingsRead(t *testing.T, function string) []string {
	t.Helper()
	const pattern = `(?:\.(?:Required|project|List|Bool|Duration)\(|\bParse\(&?r, |\bcollection\()"([A-Z_]+)"`
	return append(found(t, "../shared/settings/*.go", pattern), found(t, "../functions/"+function+"/*.go", pattern)...)
}

const settingsPage = "../docs/settings.md"

// settingsDocumented returns the environment variables in the page's tables, by the
// function that reads them. The key of those that all functions read is "".
func settingsDocumented(t *testing.T) map[string][]string {
	t.Helper()
	_, section, _ := strings.Cut(read(t, settingsPage), "\n## Environment of the functions\n")
	function, all := "", make(map[string][]string)
	for line := range strings.Lines(section) {
		switch entry := regexp.MustCompile("^\\| `([A-Z_]+)` \\|").FindStringSubmatch(line); {
		case entry != nil:
			all[function] = append(all[function], entry[1])
		case strings.Contains(line, "`StaticWebhook`"):
			function = "static"
		case strings.Contains(line, "`DynamicWebhook`"):
			function = "dynamic"
		case strings.Contains(line, "`Reconcile`"):
			function = "reconcile"
		}
	}
	return all
}

// The page has exactly the settings that the functions read.
func TestSettingsAreDocumented(t *testing.T) {
	documented := settingsDocumented(t)
	for _, function := range functions {
		same(t, function+": settings on the page", slices.Concat(documented[""], documented[function]), settingsRead(t, function))
	}
}

// The page has one line for each variable of Terraform, with its default and in the order
// of variables.tf, and no others.
func TestVariablesAreDocumented(t *testing.T) {
	for heading, file := range map[string]string{
		"Terraform variables": "variables.tf", "Variables of terraform/edge": "edge/variables.tf",
	} {
		_, section, _ := strings.Cut(read(t, settingsPage), "\n## "+heading+"\n")
		section, _, _ = strings.Cut(section, "\n## ")
		var got, want []string
		for _, line := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| `?(.*?)`? \\| \\S").FindAllStringSubmatch(section, -1) {
			got = append(got, line[1]+" = "+line[2])
		}
		for _, variable := range regexp.MustCompile(`(?ms)^variable "(\w+)" \{$(.*?)^\}$`).FindAllStringSubmatch(read(t, file), -1) {
			value := "required"
			if found := regexp.MustCompile(`(?m)^  default +=[ ](.*)$`).FindStringSubmatch(variable[2]); found != nil {
				value = strings.Trim(found[1], `"`)
			}
			want = append(want, variable[1]+" = "+value)
		}
		if !slices.Equal(got, want) {
			same(t, file+": variables on the page", got, want)
			t.Errorf("%s: the page has another order: %v", file, got)
		}
	}
}

// Terraform sets exactly the settings that a function reads.
func TestSettingsAreSet(t *testing.T) {
	for _, function := range functions {
		f := planned(t, "defaults").function(t, "geminihook-"+function)
		var got []string
		for name := range f.block("service_config")["environment_variables"].(map[string]any) {
			got = append(got, name)
		}
		want := slices.DeleteFunc(settingsRead(t, function), func(name string) bool {
			return unset[name] != ""
		})
		same(t, f.Address+": settings", got, want)
	}
}

// A setting has the name of the variable or output from which its value comes. In
// Terraform, the name of a number ends in its unit.
func TestSettingsAreNamedAlike(t *testing.T) {
	known := map[string]bool{
		"google_cloud_project": true, // Google's name for project_id
		"look_back":            true, // lookback_hours
	}
	for _, block := range []string{"variable", "output"} {
		for name := range declared(t, block) {
			_, name, _ = strings.Cut(name, ": ")
			known[name] = true
			for _, unit := range []string{"_seconds", "_minutes", "_hours"} {
				if bare, ok := strings.CutSuffix(name, unit); ok {
					known[bare] = true
				}
			}
		}
	}
	for _, function := range functions {
		for _, name := range settingsRead(t, function) {
			if unset[name] == "" && !known[strings.ToLower(name)] {
				t.Errorf("%s: no variable and no output is called %s", name, strings.ToLower(name))
			}
		}
	}
}
