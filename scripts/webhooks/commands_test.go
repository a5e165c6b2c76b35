package main

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Every value is one of Terraform's outputs, and every one is used.
func TestValuesAreOutputs(t *testing.T) {
	text, err := os.ReadFile("../../terraform/outputs.tf")
	if err != nil {
		t.Fatal(err)
	}
	var outputs []string
	for _, match := range regexp.MustCompile(`(?m)^output "(\w+)"`).FindAllSubmatch(text, -1) {
		outputs = append(outputs, string(match[1]))
	}
	used := map[string]bool{}
	for _, c := range subcommands() {
		for _, name := range c.values {
			used[name] = true
			if about[name] == "" || !slices.Contains(outputs, name) {
				t.Errorf("%s: %s is not described, or no output of Terraform", c.name, name)
			}
		}
	}
	if described := slices.Sorted(maps.Keys(about)); len(described) != len(used) {
		t.Errorf("described are %v, %d are used", described, len(used))
	}
}

func TestHelp(t *testing.T) {
	l := newLab(t)
	all := l.run("-h")
	l.want(all, 0, "Usage: go run ./scripts/webhooks COMMAND", "Commands:")
	for _, c := range subcommands() {
		l.want(all, 0, c.name, c.does)
		help := l.run(c.name, "-h")
		l.want(help, 0, "Usage: go run ./scripts/webhooks "+c.name, "Example", "-terraform FOLDER", "-project ID")
		if strings.Contains(help.out, apiKey) || help.err != "" {
			t.Errorf("%s -h: %s", c.name, help.err)
		}
		for text := range strings.Lines(c.usage) {
			if len([]rune(strings.TrimRight(text, "\n"))) > 88 {
				t.Errorf("%s: a line of %d characters: %s", c.name, len(text), text)
			}
		}
	}
	r := l.run("help")
	l.want(r, 0, "Commands:")
}

func TestMistyped(t *testing.T) {
	l := newLab(t)
	l.want(l.run("regsiter"), 1, `no command "regsiter" (-h lists them)`)
	l.want(l.run("register", "now"), 1, `unexpected argument "now"`)
	l.want(l.run("register", "-force"), 1, "-force", "-h lists the flags")
	l.want(l.run("register", "-api-key", "x"), 1, "-api-key")
	l.want(l.run("ping", "-wait", "long"), 1, "-wait")
}

func TestValues(t *testing.T) {
	l := newLab(t)
	given := []string{"list", "-project", "test-project", "-static-url", "https://example.com/x"}
	l.want(l.run(given...), 0)
	l.want(l.run("list", "-terraform", "elsewhere"), 1, "terraform output: exit status 1: what is -chdir=elsewhere", "-project, -static-url")
	delete(l.outputs, "static_url")
	l.want(l.run("list"), 1, "the outputs in terraform are of another version", "or say -static-url\n")
	clear(l.outputs)
	l.want(l.run("list"), 1, "no outputs in terraform", "terraform -chdir=terraform apply, or say -project, -static-url\n")

	dir, _, _ := strings.Cut(os.Getenv("PATH"), string(os.PathListSeparator))
	script := []byte("#!/bin/sh\necho 'not JSON'\n")
	if err := os.WriteFile(filepath.Join(dir, "terraform"), script, 0o700); err != nil {
		t.Fatal(err)
	}
	l.want(l.run("list"), 1, "terraform output: invalid character")
	t.Setenv("PATH", t.TempDir())
	l.want(l.run("list"), 1, "terraform is not installed", "or say -project, -static-url\n")
	l.want(l.run(given...), 0)
}

func TestFlat(t *testing.T) {
	for want, value := range map[string]any{
		"text": "text", "true": true, "a,b": []any{"a", "b"}, "*=x,batch=y": map[string]any{"batch": "y", "*": "x"}, "": []any{},
	} {
		if got := flat(value); got != want {
			t.Errorf("%v is %q, want %q", value, got, want)
		}
	}
}
