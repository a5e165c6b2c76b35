package terraform

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// dependencies returns, by address, the direct and indirect dependencies of each resource.
// Addresses are without keys.
func dependencies(t *testing.T) map[string]map[string]bool {
	t.Helper()
	planned(t, "defaults") // skips the test if there is no Terraform
	out, err := check("graph")
	if err != nil {
		t.Fatal(err)
	}
	direct := make(map[string][]string)
	for _, edge := range regexp.MustCompile(`"([^"]+)" -> "([^"]+)";`).FindAllStringSubmatch(string(out), -1) {
		direct[edge[1]] = append(direct[edge[1]], edge[2])
	}
	all := make(map[string]map[string]bool)
	var visit func(from, at string)
	visit = func(from, at string) {
		for _, next := range direct[at] {
			if !all[from][next] {
				all[from][next] = true
				visit(from, next)
			}
		}
	}
	for from := range direct {
		all[from] = make(map[string]bool)
		visit(from, from)
	}
	return all
}

// A function is created after everything that its first request needs.
func TestFunctionsComeAfterWhatTheyNeed(t *testing.T) {
	all := dependencies(t)
	own := map[string][]string{
		"static": nil, "dynamic": nil,
		"reconcile": {
			"google_firestore_field.jobs",
			"google_firestore_field.queried",
			"google_pubsub_subscription.jobs_rejected",
			"google_pubsub_subscription_iam_member.jobs",
			"google_pubsub_topic_iam_member.jobs_rejected",
			"google_secret_manager_secret_iam_member.api_key",
		},
	}
	for function := range own {
		address := "module." + function + ".google_cloudfunctions2_function.this"
		for _, needed := range append(own[function],
			"google_firestore_field.expire_at",
			"google_project_iam_member.this",
			"google_pubsub_subscription.dead_letter",
			"google_pubsub_subscription.route",
			"google_pubsub_topic.route",
			"google_pubsub_topic_iam_member.route",
			"google_secret_manager_secret_iam_member.signing_secret",
			"google_secret_manager_secret_iam_member.url_token",
		) {
			if !all[address][needed] {
				t.Errorf("%s may be created before %s", address, needed)
			}
		}
	}
	// The first build fails unless the grants to its account have taken effect. They take
	// effect while the database is created, which takes minutes.
	if all["google_project_iam_member.this"]["google_firestore_database.this"] {
		t.Error("the grants to the build account wait for the database")
	}
}

// Terraform destroys a resource after all resources that depend on it. The dashboard
// depends on everything, so that its protection ends `terraform destroy` before anything
// is destroyed.
func TestProtectionRefusesBeforeAnythingIsDestroyed(t *testing.T) {
	const first = "google_monitoring_dashboard.this"
	upstream := dependencies(t)[first]
	for _, r := range planned(t, "defaults").Resources {
		address := regexp.MustCompile(`\[[^]]*\]`).ReplaceAllString(r.Address, "")
		if r.Mode == "managed" && address != first && !upstream[address] {
			t.Errorf("%s could be destroyed before %s fails: add it to depends_on there", address, first)
		}
	}
}

func TestWhatWasAcceptedIsProtected(t *testing.T) {
	for run, want := range map[string]string{"defaults": "PREVENT", "other_values": "DELETE"} { // deletion_protection is false there
		var of []resource
		for _, kind := range []string{"google_pubsub_topic", "google_pubsub_subscription", "google_monitoring_dashboard"} {
			of = append(of, planned(t, run).of(kind)...)
		}
		of = slices.DeleteFunc(of, func(r resource) bool { return strings.Contains(r.Address, ".jobs") }) // TestItCanBeTurnedOff
		for _, r := range of {
			if got := r.text("deletion_policy"); got != want {
				t.Errorf("%s, %s: deletion_policy is %q, want %q", run, r.Address, got, want)
			}
		}
		if len(of) < 9 {
			t.Errorf("%s: %d resources, want at least 9", run, len(of))
		}
	}
}

// Terraform destroys a removed resource before it changes the resources that depend on it.
// With create_before_destroy it destroys it after that.
func TestGrantsOutliveTheRevisionsThatUseThem(t *testing.T) {
	replaced := 0
	for _, r := range planned(t, "replaces_a_topic").Resources {
		if !slices.Contains(r.Change.Actions, "delete") || !strings.HasPrefix(r.Type, "google_pubsub_") {
			continue
		}
		replaced++
		if !slices.Equal(r.Change.Actions, []string{"create", "delete"}) {
			t.Errorf("%s: %v: it is destroyed before the functions are changed", r.Address, r.Change.Actions)
		}
	}
	if replaced < 4 {
		t.Errorf("%d replaced, want topic, subscription and two grants", replaced)
	}
}

func TestRouteMovesWithoutLoss(t *testing.T) {
	actions := make(map[string][]string)
	for _, r := range planned(t, "moves_a_route").Resources {
		actions[r.Address] = r.Change.Actions
		if slices.Contains(r.Change.Actions, "delete") {
			t.Errorf("%s: %v", r.Address, r.Change.Actions)
		}
	}
	for _, address := range []string{
		`google_pubsub_topic.route["elsewhere"]`, `google_pubsub_subscription.route["elsewhere"]`,
		`google_pubsub_topic_iam_member.route["elsewhere/static"]`, `google_pubsub_topic_iam_member.route["elsewhere/dynamic"]`,
		`google_pubsub_topic_iam_member.route["elsewhere/reconcile"]`,
	} {
		if !slices.Equal(actions[address], []string{"create"}) {
			t.Errorf("%s: %v, want it to be created", address, actions[address])
		}
	}
	for _, function := range []string{"static", "dynamic", "reconcile[0]"} {
		address := "module." + function + ".google_cloudfunctions2_function.this[0]"
		if !slices.Equal(actions[address], []string{"update"}) {
			t.Errorf("%s: %v, want it to be updated", address, actions[address])
		}
	}
}
