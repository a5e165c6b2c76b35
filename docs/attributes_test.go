package docs_test

import (
	"os"
	"regexp"
	"slices"
	"testing"
)

// Each attribute of a message has one row in the pages' tables, and each row is of one.
func TestAttributesAreDocumented(t *testing.T) {
	t.Chdir("..")
	code, err := os.ReadFile("shared/publish/message.go")
	if err != nil {
		t.Fatal(err)
	}
	const name = `((?:ce-|content-|googclient_)[a-z]+)`
	var got, want []string
	for _, attribute := range regexp.MustCompile(`"`+name+`"(?::|\] =)`).FindAllStringSubmatch(string(code), -1) {
		want = append(want, attribute[1])
	}
	for _, text := range pages(t) {
		for _, row := range regexp.MustCompile("(?m)^\\| `"+name+"` \\|").FindAllStringSubmatch(text, -1) {
			got = append(got, row[1])
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) || len(want) < 10 {
		t.Errorf("documented: %v\npublished:  %v", got, want)
	}
}
