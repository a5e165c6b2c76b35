package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/geminihook/geminihook/scripts/geminihook/manage"
)

// Every value that a command needs is one of Terraform's outputs, and each described
// output is used.
func TestValuesAreOutputs(t *testing.T) {
	var outputs []string
	for _, file := range []string{"outputs.tf", "reconcile_outputs.tf"} {
		text, err := os.ReadFile("../../terraform/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range regexp.MustCompile(`(?m)^output "(\w+)"`).FindAllSubmatch(text, -1) {
			outputs = append(outputs, string(match[1]))
		}
	}
	used := map[string]bool{}
	for _, m := range managementCommands() {
		for _, name := range m.outputs {
			used[name] = true
			if manage.Outputs[name].Flag == "" || !slices.Contains(outputs, name) {
				t.Errorf("%s: %s is not in Outputs or not a Terraform output", m.Use, name)
			}
		}
	}
	if described := slices.Sorted(maps.Keys(manage.Outputs)); len(described) != len(used) {
		t.Errorf("Outputs has %v, but only %d are used", described, len(used))
	}
}

// Each command has a help with an example, whose lines have at most 88 characters.
func TestHelp(t *testing.T) {
	l := newLab(t)
	for _, ask := range []string{"--help", "-h", "help"} {
		l.want(l.run(ask), 0, "Usage:\n  geminihook", "For a deployment:", "completion")
	}
	l.want(l.run("--version"), 0, "geminihook version ")
	for _, cmd := range newRoot(&manage.App{}).Commands() {
		l.want(l.run("help"), 0, cmd.Name(), cmd.Short)
		help := l.run(cmd.Name(), "--help")
		l.want(help, 0, "Usage:\n  geminihook "+cmd.Name(), "Examples:\n  ", "geminihook "+cmd.Name(), "--json")
		if cmd.GroupID == groupDeployed {
			l.want(help, 0, "--terraform FOLDER", "--project ID")
		}
		if strings.Contains(help.out, apiKey) || help.err != "" {
			t.Errorf("%s --help: %s", cmd.Name(), help.err)
		}
		for text := range strings.Lines(cmd.Long + "\n" + cmd.Example) {
			if len([]rune(strings.TrimRight(text, "\n"))) > 88 {
				t.Errorf("%s: a line of %d characters: %s", cmd.Name(), len(text), text)
			}
		}
	}
}

// A flag has the same meaning in all commands, and no flag takes a secret's value.
func TestOneVocabulary(t *testing.T) {
	about := map[string]string{}
	for _, cmd := range newRoot(&manage.App{}).Commands() {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if strings.Contains(f.Name, "secret") && !strings.HasSuffix(f.Name, "-file") && !strings.HasSuffix(f.Name, "-name") {
				t.Errorf("%s --%s: neither a file nor a name", cmd.Name(), f.Name)
			}
			if strings.Contains(f.Usage, "with commas") || regexp.MustCompile(`(event|topic|audience|secret|service|subscription|route)s$`).MatchString(f.Name) {
				t.Errorf("%s --%s: a list is a flag that is repeated", cmd.Name(), f.Name)
			}
			kind, _ := pflag.UnquoteUsage(f)
			if other, ok := about[f.Name]; ok && other != kind {
				t.Errorf("%s --%s: a %s here, a %s elsewhere", cmd.Name(), f.Name, kind, other)
			}
			about[f.Name] = kind
		})
	}
}

// A mistyped command line is reported with status 2 and a hint.
func TestMistyped(t *testing.T) {
	l := newLab(t)
	l.want(l.run(), 2, "Usage:\n  geminihook")
	l.want(l.run("regsiter"), 2, `no command "regsiter"; did you mean register? (see --help)`)
	l.want(l.run("nonsense"), 2, `geminihook: no command "nonsense" (see --help)`)
	l.want(l.run("register", "now"), 2, `unexpected argument "now"`)
	l.want(l.run("register", "--force"), 2, "--force", "see --help")
	l.want(l.run("register", "--api-key", "x"), 2, "--api-key")
	l.want(l.run("register", "-id", "x"), 2, "flags begin with two dashes")
	l.want(l.run("ping", "--wait", "long"), 2, "--wait")
}

func TestCompletion(t *testing.T) {
	l := newLab(t)
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		l.want(l.run("completion", shell), 0, "geminihook")
	}
	l.want(l.run("__complete", "send", ""), 0, "ShellCompDirectiveNoFileComp")
	l.want(l.run("__complete", "send", "--scheme", ""), 0, "v1\nv1a\njwt\n")
	l.want(l.run("__complete", "register", "--event", "video"), 0, "video.generated\n")
}

func TestVersion(t *testing.T) {
	for want, info := range map[string]*debug.BuildInfo{
		"v1.2.3":            {Main: debug.Module{Version: "v1.2.3"}},
		"development build": {Main: debug.Module{Version: "(devel)"}},
	} {
		if got := version(info, true); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := version(nil, false); got != "development build" {
		t.Errorf("without build information: %q", got)
	}
}

func TestValues(t *testing.T) {
	l := newLab(t)
	given := []string{"list", "--project", "test-project", "--static-url", "https://example.com/x"}
	l.want(l.run(given...), 0)
	l.want(l.run("list", "--terraform", "elsewhere"), 1, "terraform output: exit status 1: what is -chdir=elsewhere", "--project, --static-url")

	// A root configuration that uses the module has the module's outputs in one of its
	// own.
	module := maps.Clone(l.outputs)
	clear(l.outputs)
	l.outputs["hooks"], l.outputs["unrelated"] = module, map[string]any{"static_url": "https://example.com/unrelated"}
	l.want(l.run("list"), 0)
	l.outputs["more"] = module
	l.want(l.run("list"), 1, "the outputs describe several installations: hooks, more", "or give --project, --static-url\n")
	clear(l.outputs)
	maps.Copy(l.outputs, module)

	delete(l.outputs, "static_url")
	l.want(l.run("list"), 1, "the Terraform outputs in terraform are of another version", "or give --static-url\n")
	clear(l.outputs)
	l.want(l.run("list"), 1, "no Terraform outputs in terraform", "terraform -chdir=terraform apply, or give --project, --static-url\n")

	dir, _, _ := strings.Cut(os.Getenv("PATH"), string(os.PathListSeparator))
	script := []byte("#!/bin/sh\necho 'not JSON'\n")
	if err := os.WriteFile(filepath.Join(dir, "terraform"), script, 0o700); err != nil {
		t.Fatal(err)
	}
	l.want(l.run("list"), 1, "terraform output: invalid character")
	t.Setenv("PATH", t.TempDir())
	l.want(l.run("list"), 1, "terraform is not installed", "or give --project, --static-url\n")
	l.want(l.run(given...), 0)
}

// Each line of --json is an object with the same information as the text.
func TestJSON(t *testing.T) {
	l := newLab(t)
	lines := func(r ran) (all []map[string]any) {
		t.Helper()
		for text := range strings.Lines(r.out) {
			line := map[string]any{}
			if err := json.Unmarshal([]byte(text), &line); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			all = append(all, line)
		}
		return all
	}
	registered := lines(l.run("register", "--json"))
	id := l.api.IDs()[0]
	if first := registered[0]; first["event"] != "registered" || !strings.Contains(first["text"].(string), id) {
		t.Errorf("register: %v", registered)
	}
	l.want(l.run("rotate"), 0)
	if listed := lines(l.run("list", "--json")); len(listed) != 1 || listed[0]["id"] != id || listed[0]["state"] != "enabled" ||
		listed[0]["url"] != l.url("static_url") || listed[0]["static"] != true || len(listed[0]["events"].([]any)) != len(manage.Subscribable) ||
		len(listed[0]["former_secrets_until"].([]any)) != 1 {
		t.Errorf("list: %v", listed)
	}
	url := lines(l.run("dynamic-url", "--json"))
	if text, _ := url[0]["url"].(string); text != l.url("dynamic_url")+"?token="+l.enabled(urlToken)[0] {
		t.Errorf("dynamic-url: %v", url)
	}
	checked := lines(l.run("doctor", "--json"))
	if len(checked) != 12 || checked[0]["check"] != "services" || checked[0]["ok"] != true || checked[4]["ok"] != false || checked[4]["text"] == "" {
		t.Errorf("doctor: %v", checked)
	}
}
