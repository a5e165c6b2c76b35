package functions_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook/functions/functiontest"
	"github.com/geminihook/geminihook/shared/geminitest"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// buildpackMain is the main package that Google's Go buildpack adds to an archive
// whose root package registers its function.
const buildpackMain = `package main

import (
	"log"
	"os"

	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"
	_ "github.com/geminihook/geminihook"
)

func main() {
	if err := funcframework.Start(os.Getenv("PORT")); err != nil {
		log.Fatal(err)
	}
}
`

// Each function is built from exactly the files that Terraform uploads, as the
// platform builds them. It starts with an empty environment, answers 503 without
// settings, and serves requests with valid settings.
func TestArchives(t *testing.T) {
	targets := map[string]string{"static": "StaticWebhook", "dynamic": "DynamicWebhook", "reconcile": "Reconcile"}
	sources := plannedSources(t)
	if len(sources) != len(targets) {
		t.Fatalf("the plan has %d archives, want %d", len(sources), len(targets))
	}
	for function, target := range targets {
		t.Run(function, func(t *testing.T) {
			dir := unpack(t, sources[function])
			checkRoot(t, dir)
			binary := build(t, dir)

			bare := run(t, binary, "FUNCTION_TARGET="+target)
			answer := bare.Post(t, "", http.Header{}, "")
			if answer.Status != http.StatusServiceUnavailable {
				t.Errorf("without settings: answered %d", answer.Status)
			}

			p := functiontest.Embedded(t)
			m, query := delivery(t, p, function)
			if function == "reconcile" {
				checkPass(t, p, binary)
				return
			}
			deployed := run(t, binary, append(os.Environ(), "FUNCTION_TARGET="+target)...)
			if resp, err := m.Post(t.Context(), http.DefaultClient, deployed.URL+query); err != nil || resp.StatusCode != http.StatusNoContent {
				t.Errorf("answered %v, %v", resp, err)
			}
			if n := len(p.Messages(t)); n != 1 {
				t.Errorf("%d messages, want 1", n)
			}
		})
	}
}

// checkPass makes the built function run a pass that finds a missed event.
func checkPass(t *testing.T, p *functiontest.Project, binary string) {
	t.Helper()
	api := geminitest.New(apiKey)
	t.Cleanup(api.Close)
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	api.Add(os.Getenv("STATIC_URL"))
	api.StartBatch(geminitest.Job{Ago: 2 * time.Hour, Delivery: geminitest.Delivery{Never: true}})
	p.AddJobs(t)
	deployed := run(t, binary, append(os.Environ(), "FUNCTION_TARGET=Reconcile", "GEMINI_API_URL="+server.URL)...)
	if answer := deployed.Post(t, "", http.Header{}, ""); answer.Status != http.StatusOK {
		t.Errorf("answered %d", answer.Status)
	}
	if n := len(p.Messages(t)); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

// Each package in an archive is linked into a function. A change of any other package
// must not cause a new build of the function.
func TestArchivesContainOnlyLinkedPackages(t *testing.T) {
	const module = "github.com/geminihook/geminihook/"
	linked := make(map[string]bool)
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "./static", "./dynamic", "./reconcile").Output()
	if err != nil {
		t.Fatal(err)
	}
	for path := range strings.Lines(string(out)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(path), module); ok {
			linked[path] = true
		}
	}
	packed := make(map[string]bool)
	for _, files := range plannedSources(t) {
		for _, source := range files {
			if strings.HasSuffix(source, ".go") {
				packed[filepath.Dir(source)] = true
			}
		}
	}
	if !maps.Equal(linked, packed) {
		t.Errorf("packed %v, linked %v", slices.Sorted(maps.Keys(packed)), slices.Sorted(maps.Keys(linked)))
	}
}

// plannedSources returns the archives that Terraform plans: for each function, the
// paths in the archive and the repository's files for them.
func plannedSources(t *testing.T) map[string]map[string]string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "../terraform/check.sh", "plan", "plan.tftest.hcl")
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if cmd.ProcessState.ExitCode() == 3 && os.Getenv("REQUIRE_TERRAFORM") != "1" {
		t.Skip(said.String())
	}
	if err != nil {
		t.Fatalf("terraform: %v\n%s", err, said.String())
	}
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var line struct {
			Run  string `json:"@testrun"`
			Plan struct {
				Outputs struct {
					Sources struct{ After map[string]map[string]string }
				} `json:"output_changes"`
			} `json:"test_plan"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		if line.Run == "defaults" && line.Plan.Outputs.Sources.After != nil {
			return line.Plan.Outputs.Sources.After
		}
	}
	t.Fatal("no plan of the run defaults")
	return nil
}

// unpack writes an archive's files and the buildpack's main package to a directory.
func unpack(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	write := func(path string, content []byte) {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for path, source := range files {
		content, err := os.ReadFile(filepath.Join("..", source))
		if err != nil {
			t.Fatal(err)
		}
		write(path, content)
	}
	write("functions.local/app/main.go", []byte(buildpackMain))
	return dir
}

// checkRoot checks the buildpack's requirements for the archive's root: one package,
// no test, and an import of functions-framework-go/functions, by which the buildpack
// detects that the function registers itself.
func checkRoot(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no Go file at the archive's root (%v)", err)
	}
	var imports []string
	packages := make(map[string]bool)
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		packages[f.Name.Name] = true
		for _, i := range f.Imports {
			path, _ := strconv.Unquote(i.Path.Value)
			imports = append(imports, path)
		}
	}
	if len(packages) != 1 || packages["main"] {
		t.Errorf("packages at the archive's root: %v, want one, and not main", packages)
	}
	if !slices.Contains(imports, "github.com/GoogleCloudPlatform/functions-framework-go/functions") {
		t.Error("the root package does not import functions-framework-go/functions: the buildpack would expect an exported function")
	}
	filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if name := filepath.Base(path); err != nil || strings.HasSuffix(strings.TrimSuffix(name, ".go"), "test") || name == "go.work" {
			t.Errorf("%s is in the archive (%v)", path, err)
		}
		return nil
	})
}

func build(t *testing.T, dir string) (binary string) {
	t.Helper()
	binary = filepath.Join(dir, "function")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./functions.local/app")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

// run starts a built function with only this environment, and waits until it listens.
func run(t *testing.T, binary string, environment ...string) *functiontest.Endpoint {
	t.Helper()
	port := functiontest.FreePort(t)
	cmd := exec.CommandContext(t.Context(), binary)
	cmd.Env = append(environment, "PORT="+port)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	endpoint := &functiontest.Endpoint{URL: "http://127.0.0.1:" + port + "/"}
	functiontest.Eventually(t, "the function listens", func() bool {
		resp, err := http.Get(endpoint.URL)
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})
	return endpoint
}

// delivery prepares a project for a function, and returns a genuine delivery to it.
func delivery(t *testing.T, p *functiontest.Project, function string) (m *webhooktest.Message, query string) {
	t.Helper()
	secret := setSecrets(t, p)
	if function == "dynamic" {
		return webhooktest.NewMessage("batch.succeeded", webhooktest.SignV1a(p.Keys.Ed25519(0))), "?token=" + urlToken
	}
	return webhooktest.NewMessage("batch.succeeded", webhooktest.SignV1(secret)), ""
}
