// Package shared_test checks the imports between packages, as the design requires.
package shared_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/geminihook/geminihook/"

// Modules outside of the standard library and this module.
const (
	jwx           = "github.com/lestrrat-go/jwx/v2/..."
	secretManager = "cloud.google.com/go/secretmanager/..."
	firestore     = "cloud.google.com/go/firestore/..."
	pubsub        = "cloud.google.com/go/pubsub/v2/..."
	framework     = "github.com/GoogleCloudPlatform/functions-framework-go/..."
	uuid          = "github.com/google/uuid"
	anything      = "..."
)

// google are the packages that come with each Google client.
var google = []string{"google.golang.org/api/option", "google.golang.org/api/iterator", "google.golang.org/grpc/...", "github.com/googleapis/gax-go/v2"}

// A rule lists the packages that pkg may import in addition to the standard library,
// and why no others. A path that ends in "/..." includes all packages below it.
type rule struct {
	pkg string
	may []string
	why string // completes the sentence "PKG imports PATH, but ..."
}

var rules = []rule{
	{"shared/webhook", []string{jwx},
		"it is the centre: verifying a delivery depends on no product and on no other package of ours"},
	{"shared/webhook/webhooktest", []string{"shared/webhook", jwx, uuid},
		"it imitates Google: the sender shares only the signature scheme with us"},
	{"shared/refresh", nil,
		"it caches values of any type from any source"},
	{"shared/jwks", []string{"shared/loopback", "shared/refresh", "shared/webhook", jwx},
		"keys are fetched by plain HTTPS: no cloud client"},
	{"shared/loopback", nil,
		"it is one rule about names of hosts"},
	{"shared/dial", google,
		"the options of a connection are the same for each product"},
	{"shared/together", nil,
		"it shares calls of any kind to any server"},
	{"shared/secret", append(google, "shared/dial", "shared/loopback", "shared/refresh", secretManager),
		"it provides secrets for any purpose, and is the only package that calls Secret Manager"},
	{"shared/dedup", append(google, "shared/dial", "shared/together", "shared/webhook", firestore, "google.golang.org/protobuf/types/known/timestamppb"),
		"it is the only package that stores deliveries, in Firestore alone"},
	{"shared/publish", append(google, "shared/dial", "shared/together", "shared/webhook", pubsub),
		"it publishes deliveries to Pub/Sub, and calls no other product"},
	{"shared/gemini", []string{"shared/loopback"},
		"it is the Gemini API over plain HTTPS: no SDK, and no cloud client"},
	{"shared/jobs", append(google, "shared/dial", firestore, pubsub),
		"it moves names of jobs from Pub/Sub to Firestore, so it calls both, and knows no deliveries"},
	{"shared/reconcile", []string{"shared/dedup", "shared/gemini", "shared/jobs", "shared/webhook"},
		"it declares interfaces for the parts that it needs, and imports only the types that they return"},
	{"shared/receiver", []string{"shared/webhook"},
		"it declares interfaces for the parts that it needs, and knows neither their packages nor their products"},
	{"shared/settings", []string{"shared/dedup", "shared/publish", "shared/webhook"},
		"it reads the settings and opens the clients that all functions share, and no others"},
	{"shared/cloudlog", nil, "every package may log, so it must not add dependencies to any of them"},
	{"shared/instance", []string{framework},
		"the life of an instance does not depend on the function"},
	{"shared/gcptest/cloudrun", []string{"shared/gcptest/child", "shared/gcptest/cloudrun/target", framework},
		"it runs any function, and knows none of their parts"},
	{"shared/gcptest/...", append(google, "shared/gcptest/...", secretManager, firestore, pubsub,
		"cloud.google.com/go/iam/...", "google.golang.org/protobuf/..."),
		"it imitates the products: if it imported our packages, it would share their mistakes"},

	{"shared/geminitest", []string{"shared/webhook/webhooktest"},
		"it imitates Google"},
	{"shared/geminitest/sdktest", nil,
		"it runs npm, and does not depend on the scripts"},

	{"functions/static", wiring(), "it is deployed: nothing for tests, tools, or another function"},
	{"functions/dynamic", wiring("shared/jwks"), "it is deployed: nothing for tests, tools, or another function"},

	{"functions/reconcile", append([]string{"shared/dedup", "shared/gemini", "shared/jobs", "shared/reconcile"}, wiring()...),
		"it is deployed: nothing for tests, tools, or another function"},

	{"functions/functiontest", []string{anything}, "it runs the complete functions in tests"},
	{"scripts/...", []string{anything}, "tools may import everything"},
	{"examples", append(google, pubsub, firestore, "google.golang.org/genai"),
		"it is meant to be copied, and our packages could not be copied with it"},
	{"examples/job", []string{"examples", pubsub, "google.golang.org/genai"},
		"it is an application like those of users"},
}

// wiring returns the packages from which the functions are built.
func wiring(more ...string) []string {
	return append(more, framework, "shared/cloudlog", "shared/instance", "shared/receiver",
		"shared/secret", "shared/settings", "shared/webhook")
}

// bans apply even if a rule allows anything: path may be imported only by except.
var bans = []struct {
	path   string
	except []string
	why    string
}{
	{jwx, []string{"shared/jwks", "shared/webhook", "shared/webhook/webhooktest"},
		"an upgrade to its next major version must change few packages"},
	{"shared/gcptest/...", []string{"shared/gcptest/...", "functions/functiontest", "scripts/..."},
		"no deployed function may contain an emulator of a product"},
	{"shared/webhook/webhooktest", []string{"functions/functiontest", "shared/geminitest", "scripts/..."},
		"no deployed function may be able to sign"},
	{"shared/geminitest", []string{"functions/functiontest", "scripts/..."},
		"no deployed function may contain an emulator of a product"},
	{"functions/functiontest", []string{"scripts/..."},
		"it is for tests"},
	{"google.golang.org/genai/...", []string{"shared/geminitest", "scripts/...", "examples/..."},
		"no deployed function may contain the SDK: it takes its host and key from the environment, follows redirects with the key, and retries calls by itself"},
	{"scripts/...", []string{"scripts/..."},
		"the deployed archive has no scripts"},
}

func TestImports(t *testing.T) {
	all := imports(t)
	for pkg, imported := range all {
		r, ok := ruleFor(pkg)
		if !ok {
			t.Errorf("%s has no rule: add one, with its reason", pkg)
			continue
		}
		for _, path := range imported {
			if !covers(path, r.may) {
				t.Errorf("%s imports %s, but %s", pkg, path, r.why)
			}
			for _, ban := range bans {
				if covers(path, []string{ban.path}) && !covers(pkg, ban.except) {
					t.Errorf("%s imports %s, but %s", pkg, path, ban.why)
				}
			}
		}
	}
	for _, r := range rules {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(all)), func(pkg string) bool { return covers(pkg, []string{r.pkg}) }) {
			t.Errorf("the rule for %s has no package", r.pkg)
		}
	}
}

func ruleFor(pkg string) (rule, bool) {
	for _, r := range rules {
		if covers(pkg, []string{r.pkg}) {
			return r, true
		}
	}
	return rule{}, false
}

// covers reports whether one of the patterns matches path.
func covers(path string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		tree, below := strings.CutSuffix(pattern, "/...")
		return pattern == anything || path == tree || below && strings.HasPrefix(path, tree+"/")
	})
}

// imports returns, for each package of the module, its imports outside of the
// standard library, without those of tests. Packages of the module are named by their
// folders.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	all := make(map[string][]string)
	root := os.DirFS("..")
	err := fs.WalkDir(root, ".", func(file string, entry fs.DirEntry, err error) error {
		name := entry.Name()
		switch {
		case err != nil:
			return err
		case entry.IsDir() && file != "." && (name[0] == '.' || name[0] == '_' || name == "testdata"):
			return fs.SkipDir
		case entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		pkg := path.Dir(file)
		all[pkg] = append(all[pkg], importsOf(t, file)...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func importsOf(t *testing.T, file string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", file), nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, spec := range parsed.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		ours, isOurs := strings.CutPrefix(path, module)
		if host, _, _ := strings.Cut(path, "/"); isOurs || strings.Contains(host, ".") {
			paths = append(paths, ours)
		}
	}
	return paths
}

// The rules reject these imports, which would violate the design.
func TestRulesReject(t *testing.T) {
	for _, fault := range [][2]string{
		{"shared/webhook", "shared/refresh"},
		{"shared/webhook", "cloud.google.com/go/firestore"},
		{"shared/webhook", "shared/webhook/webhooktest"},
		{"shared/refresh", jwx},
		{"shared/jwks", "cloud.google.com/go/secretmanager/apiv1"},
		{"shared/secret", "shared/webhook"},
		{"shared/secret", "cloud.google.com/go/firestore"},
		{"shared/dedup", "cloud.google.com/go/pubsub/v2/apiv1"},
		{"shared/publish", "shared/dedup"},
		{"shared/publish", "cloud.google.com/go/pubsub"},
		{"shared/receiver", "shared/publish"},
		{"shared/receiver", "cloud.google.com/go/firestore"},
		{"shared/settings", "shared/jwks"},
		{"functions/static", "shared/dedup"},
		{"shared/cloudlog", "google.golang.org/grpc"},
		{"shared/instance", "shared/receiver"},
		{"shared/gemini", "google.golang.org/genai"},
		{"shared/jobs", "shared/dedup"},
		{"shared/reconcile", "cloud.google.com/go/firestore"},
		{"shared/reconcile", "shared/publish"},
		{"functions/static", "functions/dynamic"},
		{"functions/static", "shared/jwks"},
		{"functions/static", "shared/gcptest"},
		{"functions/reconcile", "google.golang.org/genai"},
		{"functions/reconcile", "shared/geminitest"},
		{"functions/dynamic", "shared/webhook/webhooktest"},
		{"functions/dynamic", "functions/functiontest"},
		{"functions/dynamic", "scripts/geminihook/serve"},
	} {
		if r, ok := ruleFor(fault[0]); !ok || covers(fault[1], r.may) {
			t.Errorf("%s may import %s", fault[0], fault[1])
		}
	}
	if r, ok := ruleFor("shared/util"); ok {
		t.Errorf("a new package is covered by the rule for %s", r.pkg)
	}
	if r, ok := ruleFor("functions/third"); ok {
		t.Errorf("a new function is covered by the rule for %s", r.pkg)
	}
}

// TestClients checks that each Google client outside of test support has the options
// of package dial. The receivers of the benchmark are other people's code.
func TestClients(t *testing.T) {
	client := regexp.MustCompile(`\b(firestore|pubsub|secretmanager)\.New\w*Client\w*\(`)
	found := 0
	for _, root := range []string{"../shared", "../functions", "../scripts"} {
		err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && (strings.HasSuffix(file, "test") || d.Name() == "receivers"):
				return fs.SkipDir
			case d.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go"):
				return nil
			}
			text, err := os.ReadFile(file)
			if client.Match(text) {
				if found++; !strings.Contains(string(text), "dial.Options()") {
					t.Errorf("%s opens a client without dial.Options()", file)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if found == 0 {
		t.Error("found no client")
	}
}

func TestGoMod(t *testing.T) {
	text, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for want, why := range map[string]string{
		`(?m)^module github\.com/geminihook/geminihook$`: "that is its name",
		`(?m)^go 1\.26\.0$`: "the runtime's builder may be older than any later patch",
		`(?m)^\tgithub\.com/cloudevents/sdk-go/v2 v2\.16\.2( |$)`: "the version that the framework asks for costs start-up time",
	} {
		if !regexp.MustCompile(want).Match(text) {
			t.Errorf("go.mod has no %s: %s", want, why)
		}
	}
	for never, why := range map[string]string{
		`(?m)^toolchain`: "the platform's builder chooses the toolchain",
		`(?m)^replace`:   "the deployed archive has only its own files",
	} {
		if regexp.MustCompile(never).Match(text) {
			t.Errorf("go.mod has %s: %s", never, why)
		}
	}
}

// unreleased lists modules whose repositories have no version tags that Go accepts,
// so a pseudo-version is the only way to require them.
var unreleased = []string{
	"github.com/modern-go/concurrent", // its tags lack the v
	"google.golang.org/genproto",
	"google.golang.org/genproto/googleapis/api",
	"google.golang.org/genproto/googleapis/rpc",
}

// A pseudo-version names a commit. If the module has releases, a pseudo-version is
// a commit without a release: require the release after it. Go selects for an
// indirect requirement the newest version that any dependency requires, so an
// upgrade can bring such a commit in unnoticed. The test leaves scripts/dev/tools.mod
// out, because it is never deployed.
func TestOnlyReleases(t *testing.T) {
	pseudo := regexp.MustCompile(`(\S+) (v\d\S*[-.]\d{14}-[0-9a-f]{12}\S*)`)
	seen := make(map[string]bool)
	for _, file := range goMods(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			found := pseudo.FindStringSubmatch(line)
			if found == nil {
				continue
			}
			seen[found[1]] = true
			if !slices.Contains(unreleased, found[1]) {
				t.Errorf("%s requires the commit %s %s: require a release (go list -m -versions %[2]s)", file, found[1], found[2])
			}
		}
	}
	for _, path := range unreleased {
		if !seen[path] {
			t.Errorf("the exception for %s is not needed any more: remove it", path)
		}
	}
}

// goMods returns the paths of all go.mod files of the repository.
func goMods(t *testing.T) (files []string) {
	t.Helper()
	err := filepath.WalkDir("..", func(file string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Name() == "go.mod" {
			files = append(files, file)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
