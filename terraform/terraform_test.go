package terraform

import (
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestTerraformsOwnTests(t *testing.T) {
	planned(t, "defaults")
	if _, err := run(); err != nil {
		t.Error(err)
	}
}

func TestPublicAreTheTwoFunctionsOnly(t *testing.T) {
	everywhere(t, func(t *testing.T, p plan) {
		public := make(map[string]bool)
		for _, r := range p.Resources {
			eachString(r.Change.After, func(s string) {
				if s != "allUsers" && s != "allAuthenticatedUsers" {
					return
				}
				public[r.text("name")] = true
				if s != "allUsers" || r.Type != "google_cloud_run_v2_service_iam_member" || r.text("role") != "roles/run.invoker" {
					t.Errorf("%s: %s", r.Address, s)
				}
			})
		}
		for _, output := range []string{"static_function", "dynamic_function"} {
			var name string
			p.output(t, output, &name)
			if !public[name] {
				t.Errorf("%s cannot be called", name)
			}
			delete(public, name)
		}
		for name := range public {
			t.Errorf("%q is public", name)
		}
	})
}

// The list contains all grants. If you add a grant, add it here too.
func TestGrants(t *testing.T) {
	const (
		agent    = "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com"
		database = ` if resource.name == "projects/a-project/databases/geminihook"`
		copies   = ` if resource.name.startsWith("projects/_/buckets/gcf-v2-sources-123456789012-us-central1")`
	)
	want := []string{
		"project: roles/logging.logWriter: serviceAccount:build",
		"project: roles/storage.objectViewer: serviceAccount:build" + copies,
		"a-project-geminihook-source: roles/storage.objectViewer: serviceAccount:build",
		"geminihook: roles/artifactregistry.writer: serviceAccount:build",
		"geminihook-dead-letter: roles/pubsub.publisher: " + agent,
		"geminihook-static: roles/run.invoker: allUsers",
		"geminihook-dynamic: roles/run.invoker: allUsers",
		"geminihook-reconcile: roles/run.invoker: serviceAccount:timer",
		"geminihook-jobs: roles/pubsub.subscriber: serviceAccount:reconcile",
		"geminihook-jobs-rejected: roles/pubsub.publisher: serviceAccount:reconcile",
	}
	for function, secret := range map[string]string{
		"static": "geminihook-signing-secret", "dynamic": "geminihook-url-token", "reconcile": "geminihook-api-key",
	} {
		account := ": serviceAccount:" + function
		want = append(want,
			"project: roles/datastore.user"+account+database,
			secret+": roles/secretmanager.secretAccessor"+account,
			secret+": roles/secretmanager.viewer"+account,
		)
		for _, topic := range []string{"geminihook-batch", "geminihook-interaction", "geminihook-video", "geminihook-other"} {
			want = append(want, topic+": roles/pubsub.publisher"+account)
		}
	}
	for _, topic := range []string{"geminihook-batch", "geminihook-interaction", "geminihook-video", "geminihook-other"} {
		want = append(want, topic+"-pull: roles/pubsub.subscriber: "+agent)
	}

	var got []string
	for _, r := range planned(t, "defaults").Resources {
		if !strings.Contains(r.Type, "_iam_") && !strings.Contains(r.Type, "access") && !strings.HasSuffix(r.Type, "_acl") {
			continue
		}
		on := "project"
		for _, attribute := range []string{"bucket", "repository", "secret_id", "topic", "subscription", "name"} {
			if value := r.text(attribute); value != "" {
				on = value
				break
			}
		}
		line := on + ": " + r.text("role") + ": " + r.text("member")
		if condition := r.block("condition"); condition != nil {
			line += fmt.Sprint(" if ", condition["expression"])
		}
		got = append(got, line)
	}
	same(t, "grants", got, want)
}

// Terraform never has the values of secrets, because they would stay in its state.
func TestSecretsHaveNoValues(t *testing.T) {
	everywhere(t, func(t *testing.T, p plan) {
		for _, r := range p.Resources {
			if strings.HasSuffix(r.Type, "_secret_version") || strings.HasSuffix(r.Type, "_key") {
				t.Error(r.Address)
			}
		}
	})
}

func TestAccounts(t *testing.T) {
	everywhere(t, func(t *testing.T, p plan) {
		runs := make(map[string]bool)
		for _, f := range p.of("google_cloudfunctions2_function") {
			runs[fmt.Sprint(f.block("service_config")["service_account_email"])] = true
			if got := f.block("build_config")["service_account"]; got != "projects/a-project/serviceAccounts/build" {
				t.Errorf("%s is built by %v", f.Address, got)
			}
		}
		same(t, "accounts of functions", slices.Collect(maps.Keys(runs)), []string{"static", "dynamic", "reconcile"})
		if len(runs) != len(p.of("google_cloudfunctions2_function")) {
			t.Errorf("functions run as %v, want each as its own account", runs)
		}
	})
}

func TestFunctions(t *testing.T) {
	p := planned(t, "defaults")
	goMod := read(t, "../go.mod")
	version := regexp.MustCompile(`(?m)^go (\d+)\.(\d+)`).FindStringSubmatch(goMod)
	var sources map[string]map[string]string
	p.output(t, "sources", &sources)

	for _, f := range p.of("google_cloudfunctions2_function") {
		build, service := f.block("build_config"), f.block("service_config")
		if build["runtime"] != "go"+version[1]+version[2] {
			t.Errorf("%s: runtime %v, but go.mod asks for go %s.%s", f.Address, build["runtime"], version[1], version[2])
		}
		code, folder := "", strings.TrimPrefix(f.text("name"), "geminihook-")
		for _, file := range sources[folder] {
			code += read(t, filepath.Join("..", file))
		}
		if !strings.Contains(code, fmt.Sprintf("%q", build["entry_point"])) {
			t.Errorf("%s: the code does not know the entry point %v", f.Address, build["entry_point"])
		}
		if f.text("name") == "geminihook-reconcile" {
			continue // TestPassesDoNotOverlap
		}
		for name, want := range map[string]any{
			"ingress_settings": "ALLOW_ALL", "all_traffic_on_latest_revision": true, "timeout_seconds": 15.0,
			"max_instance_request_concurrency": 80.0, "min_instance_count": 0.0, "max_instance_count": 10.0,
			"available_memory": "512Mi", "available_cpu": "1",
		} {
			if service[name] != want {
				t.Errorf("%s: %s is %v, want %v", f.Address, name, service[name], want)
			}
		}
	}
}

func TestSettings(t *testing.T) {
	all := map[string]string{
		"GOOGLE_CLOUD_PROJECT": "a-project", "FIRESTORE_DATABASE": "geminihook", "FIRESTORE_COLLECTION": "deliveries",
		"ROUTES":              "*=geminihook-other,batch=geminihook-batch,interaction=geminihook-interaction,video=geminihook-video",
		"TIMESTAMP_TOLERANCE": "300s", "RECORD_RETENTION": "72h",
	}
	own := map[string]map[string]string{
		"geminihook-static": {"SIGNING_SECRET_NAME": "geminihook-signing-secret"},
		"geminihook-dynamic": {"URL_TOKEN_SECRET_NAME": "geminihook-url-token", "URL_TOKEN_REQUIRED": "true", "JWT_WITHOUT_EVENT": "true",
			"JWT_AUDIENCES": "https://us-central1-a-project.cloudfunctions.net/geminihook-dynamic"},
		"geminihook-reconcile": {"API_KEY_SECRET_NAME": "geminihook-api-key", "RECONCILE": "auto", "GRACE": "60m", "LOOK_BACK": "48h",
			"REENABLE": "false", "STATIC_WEBHOOK": "true", "STATIC_URL": "https://us-central1-a-project.cloudfunctions.net/geminihook-static",
			"DYNAMIC_URL":       "https://us-central1-a-project.cloudfunctions.net/geminihook-dynamic",
			"JOBS_SUBSCRIPTION": "geminihook-jobs", "JOBS_DEAD_LETTER_TOPIC": "geminihook-jobs-rejected",
			"JOBS_COLLECTION": "jobs", "STATE_COLLECTION": "reconcile", "PUBLISH_UNKNOWN": "false"},
	}
	p := planned(t, "defaults")
	for _, f := range p.of("google_cloudfunctions2_function") {
		want := maps.Clone(all)
		maps.Copy(want, own[f.text("name")])
		var got, wanted []string
		for name, value := range f.block("service_config")["environment_variables"].(map[string]any) {
			got = append(got, fmt.Sprint(name, "=", value))
		}
		for name, value := range want {
			wanted = append(wanted, name+"="+value)
		}
		same(t, f.Address, got, wanted)
	}
	var url string
	if p.output(t, "dynamic_url", &url); url != own["geminihook-dynamic"]["JWT_AUDIENCES"] {
		t.Errorf("the dynamic URL is %s, which is not the audience", url)
	}
}

func TestTopicsInSettingsExist(t *testing.T) {
	everywhere(t, func(t *testing.T, p plan) {
		may := make(map[string]bool) // "topic member"
		for _, grant := range p.of("google_pubsub_topic_iam_member") {
			may[grant.text("topic")+" "+grant.text("member")] = true
		}
		for _, f := range p.of("google_cloudfunctions2_function") {
			account := fmt.Sprint(f.block("service_config")["service_account_email"])
			settings := f.block("service_config")["environment_variables"].(map[string]any)
			for _, route := range strings.Split(fmt.Sprint(settings["ROUTES"]), ",") {
				_, topic, _ := strings.Cut(route, "=")
				if !slices.ContainsFunc(p.of("google_pubsub_topic"), func(r resource) bool { return r.text("name") == topic }) {
					t.Errorf("%s: no topic %q", f.Address, topic)
				}
				if !may[topic+" serviceAccount:"+account] {
					t.Errorf("%s may not publish to %q", f.Address, topic)
				}
			}
		}
	})
}

func TestSubscriptions(t *testing.T) {
	everywhere(t, func(t *testing.T, p plan) {
		taken := make(map[string]bool)
		for _, s := range p.of("google_pubsub_subscription") {
			taken[s.text("topic")] = true
			if expiration := s.block("expiration_policy"); expiration == nil || expiration["ttl"] != "" {
				t.Errorf("%s expires", s.Address)
			}
			policy := s.block("dead_letter_policy")
			switch s.Address {
			case "google_pubsub_subscription.dead_letter", "google_pubsub_subscription.jobs_rejected[0]":
				if policy != nil {
					t.Errorf("%s: dead letters of dead letters", s.Address)
				}
				continue
			case "google_pubsub_subscription.jobs[0]": // the function sorts them out
				if policy != nil || s.block("retry_policy") == nil {
					t.Errorf("%s: want no dead-letter policy, because a name must stay until it can be stored", s.Address)
				}
				continue
			}
			if policy == nil || policy["dead_letter_topic"] != "projects/a-project/topics/geminihook-dead-letter" {
				t.Errorf("%s has no dead-letter topic", s.Address)
			}
			if s.block("retry_policy") == nil {
				t.Errorf("%s has no retry policy", s.Address)
			}
			if !slices.ContainsFunc(p.of("google_pubsub_subscription_iam_member"), func(r resource) bool {
				return r.text("subscription") == s.text("name") && r.text("role") == "roles/pubsub.subscriber"
			}) {
				t.Errorf("%s: Pub/Sub's agent cannot acknowledge dead letters on it", s.Address)
			}
		}
		for _, topic := range p.of("google_pubsub_topic") {
			if !taken[topic.text("name")] {
				t.Errorf("%s has no subscription", topic.Address)
			}
			if topic.text("message_retention_duration") == "" {
				t.Errorf("%s keeps no messages", topic.Address)
			}
		}
	})
}

// Every field of a record has an entry. The default index of a forgotten field would limit
// the writes of the ledger, which would be visible only under load.
func TestEveryFieldOfTheLedgerIsAccountedFor(t *testing.T) {
	var want, got []string
	files, err := filepath.Glob("../shared/dedup/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no shared/dedup: %v", err)
	}
	for _, file := range files {
		for _, tag := range regexp.MustCompile(`firestore:"(\w+)`).FindAllStringSubmatch(read(t, file), -1) {
			want = append(want, tag[1])
		}
	}
	for _, field := range planned(t, "defaults").of("google_firestore_field") {
		if strings.Contains(field.Address, ".jobs[") {
			continue // TestEveryFieldOfAJobIsAccountedFor
		}
		got = append(got, field.text("field"))
		if field.block("index_config") == nil || field.text("collection") != "deliveries" || field.text("database") != "geminihook" {
			t.Errorf("%s: inherits its indexes, or is elsewhere", field.Address)
		}
	}
	same(t, "fields", got, want)
}

func TestArchives(t *testing.T) {
	var sources map[string]map[string]string
	planned(t, "defaults").output(t, "sources", &sources)
	for _, function := range functions {
		for _, needed := range []string{"go.mod", "go.sum", "function.go", "shared/webhook/webhook.go"} {
			if sources[function][needed] == "" {
				t.Errorf("%s: no %s", function, needed)
			}
		}
		for at, file := range sources[function] {
			root := !strings.Contains(at, "/")
			switch {
			case strings.HasSuffix(at, "_test.go"), strings.Contains(at, "test/"):
				t.Errorf("%s: %s must not be deployed", function, at)
			case root && strings.HasSuffix(at, ".go") && path.Dir(file) != "functions/"+function:
				t.Errorf("%s: %s comes from %s", function, at, file)
			case !root && at != file:
				t.Errorf("%s: %s is moved to %s", function, file, at)
			}
			if strings.Contains(read(t, filepath.Join("..", file)), "\n//go:embed") {
				t.Errorf("%s: %s embeds a file that is not in the archive", function, file)
			}
		}
	}
}

func TestFunctionIsCallableAgainAfterItWasRecreated(t *testing.T) {
	for _, r := range planned(t, "changes_nothing_when_nothing_changed").Resources {
		if r.Mode == "managed" && !slices.Equal(r.Change.Actions, []string{"no-op"}) {
			t.Errorf("no variable changed, but %s: %v", r.Address, r.Change.Actions)
		}
	}
	again := make(map[string]bool)
	for _, r := range planned(t, "recreates_a_function").Resources {
		if slices.Contains(r.Change.Actions, "delete") && slices.Contains(r.Change.Actions, "create") {
			again[r.Address] = true
		}
	}
	if want := map[string]bool{
		"module.static.google_cloudfunctions2_function.this[0]":           true,
		"module.static.google_cloud_run_v2_service_iam_member.invoker[0]": true,
	}; !maps.Equal(again, want) {
		t.Errorf("recreated: %v, want %v", again, want)
	}
}
