package docs_test

import (
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Dependabot looks at the folders that it is given only: each Go module and each
// Terraform module is one of them, and no other folder is.
func TestDependabotKnowsEveryModule(t *testing.T) {
	t.Chdir("..")
	text, err := os.ReadFile(".github/dependabot.yml")
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string][]string) // folders, by ecosystem
	ecosystem := ""
	for _, entry := range regexp.MustCompile(`(?m)package-ecosystem: (\S+)$|^ +- (/\S*)$|directory: (\S+)$`).FindAllStringSubmatch(string(text), -1) {
		if entry[1] != "" {
			ecosystem = entry[1]
			continue
		}
		got[ecosystem] = append(got[ecosystem], entry[2]+entry[3])
	}
	want := modules(t)
	want["github-actions"] = []string{"/"}
	for _, ecosystem := range slices.Sorted(maps.Keys(want)) {
		slices.Sort(got[ecosystem])
		if !slices.Equal(got[ecosystem], want[ecosystem]) {
			t.Errorf("%s: Dependabot looks at %v, want %v", ecosystem, got[ecosystem], want[ecosystem])
		}
	}
	if len(got) != len(want) {
		t.Errorf("Dependabot looks for %v", slices.Sorted(maps.Keys(got)))
	}
}

// modules returns the folders that name dependencies, sorted, by Dependabot's word for
// their kind. Configurations that only tests plan are left out.
func modules(t *testing.T) map[string][]string {
	t.Helper()
	kinds := map[string]string{"go.mod": "gomod", "package.json": "npm", "requirements.txt": "pip", "Dockerfile": "docker"}
	all := make(map[string][]string)
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if len(file) > 1 && name[0] == '.' || name == "testdata" || name == "node_modules" || file == "terraform/tests" {
				return fs.SkipDir
			}
			return nil
		}
		kind := kinds[name]
		if strings.HasSuffix(name, ".tf") {
			text, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			if strings.Contains(string(text), "required_providers") {
				kind = "terraform"
			}
		}
		if kind != "" {
			all[kind] = append(all[kind], path.Join("/", path.Dir(file)))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, folders := range all {
		slices.Sort(folders)
	}
	return all
}
