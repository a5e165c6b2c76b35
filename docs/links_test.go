// Package docs_test checks the pages of this repository.
package docs_test

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	dropped = regexp.MustCompile("[^a-z0-9_ -]") // from a heading, for its anchor
)

// Every link to a file or a heading has its target, and every page can be reached from
// the README. A link to a folder reaches the pages in it.
func TestLinks(t *testing.T) {
	t.Chdir("..")
	pages := pages(t)
	unseen := maps.Clone(pages)
	for todo := []string{"README.md"}; len(todo) > 0; todo = todo[1:] {
		page := todo[0]
		if _, ok := unseen[page]; !ok {
			continue
		}
		delete(unseen, page)
		for _, match := range link.FindAllStringSubmatch(pages[page], -1) {
			if strings.Contains(match[1], "://") {
				continue
			}
			file, anchor, _ := strings.Cut(match[1], "#")
			target := page
			if file != "" {
				target = filepath.Join(filepath.Dir(page), file)
			}
			info, err := os.Stat(target)
			switch {
			case err != nil:
				t.Errorf("%s: %v", page, err)
			case info.IsDir():
				for other := range pages {
					if filepath.Dir(other) == target {
						todo = append(todo, other)
					}
				}
			case anchor != "" && !slices.Contains(anchors(pages[target]), anchor):
				t.Errorf("%s: no heading #%s in %s", page, anchor, target)
			default:
				todo = append(todo, target)
			}
		}
	}
	for page := range unseen {
		t.Errorf("%s cannot be reached from README.md", page)
	}
}

// pages returns the text of every Markdown page, by its path. It passes over folders
// that begin with a dot, as Git's and Terraform's, but for .github.
func pages(t *testing.T) map[string]string {
	t.Helper()
	texts := make(map[string]string)
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && len(path) > 1 && d.Name()[0] == '.' && d.Name() != ".github" {
			return fs.SkipDir
		}
		if filepath.Ext(path) == ".md" {
			text, err := os.ReadFile(path)
			texts[path] = string(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

// anchors returns the anchors that GitHub gives to the headings of a page.
func anchors(text string) (names []string) {
	for _, match := range heading.FindAllStringSubmatch(text, -1) {
		names = append(names, strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(match[1]), ""), " ", "-"))
	}
	return names
}
