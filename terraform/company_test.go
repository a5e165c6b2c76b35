package terraform

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// All resources with data or code are encrypted with the company's key.
func TestCompanysKey(t *testing.T) {
	const key = `"projects/keys/locations/europe-west1/keyRings/hooks/cryptoKeys/data"`
	holding := []string{
		"google_pubsub_topic", "google_firestore_database", "google_secret_manager_secret", "google_storage_bucket",
		"google_artifact_registry_repository", "google_cloudfunctions2_function",
	}
	seen := make(map[string]int)
	for _, r := range planned(t, "company").Resources {
		if text, _ := json.Marshal(r.Change.After); slices.Contains(holding, r.Type) {
			seen[r.Type]++
			if !strings.Contains(string(text), key) {
				t.Errorf("%s does not have the key", r.Address)
			}
		}
	}
	if len(seen) != len(holding) {
		t.Errorf("checked %v", seen)
	}
}

func TestCompanysRegionsAndPool(t *testing.T) {
	p := planned(t, "company")
	for _, topic := range p.of("google_pubsub_topic") {
		policy := topic.block("message_storage_policy")
		if fmt.Sprint(policy["allowed_persistence_regions"]) != "[europe-west1 europe-west4]" || policy["enforce_in_transit"] != true {
			t.Errorf("%s: %v", topic.Address, policy)
		}
	}
	for _, f := range p.of("google_cloudfunctions2_function") {
		if pool := f.block("build_config")["worker_pool"]; pool != "projects/builds/locations/europe-west1/workerPools/private" {
			t.Errorf("%s is built in %v", f.Address, pool)
		}
	}
	for _, topic := range planned(t, "defaults").of("google_pubsub_topic") {
		if topic.block("message_storage_policy") != nil {
			t.Errorf("%s: its regions are restricted, although message_regions is empty", topic.Address)
		}
	}
}

// theirs returns the email of an existing account in the runs with service_accounts.
func theirs(does string) string { return "hooks-" + does + "@accounts.iam.gserviceaccount.com" }

// An account in service_accounts is not created, and gets the grants that the created one
// would get.
func TestCompanysAccounts(t *testing.T) {
	ours := make(map[string]string) // what is granted to whom, by the resource's address
	for _, r := range planned(t, "defaults").Resources {
		if strings.Contains(r.Type, "_iam_") {
			ours[r.Address] = r.text("member")
		}
	}
	p := planned(t, "their_accounts")
	for _, r := range p.Resources {
		if r.Type == "google_service_account" {
			t.Errorf("%s is created", r.Address)
		}
		if account, ok := strings.CutPrefix(ours[r.Address], "serviceAccount:"); ok && !strings.Contains(account, "@") {
			if want := "serviceAccount:" + theirs(account); r.text("member") != want {
				t.Errorf("%s is for %s, want %s", r.Address, r.text("member"), want)
			}
			delete(ours, r.Address)
		}
	}
	for address, member := range ours {
		if member != "allUsers" && !strings.Contains(member, "@") { // Pub/Sub's agent
			t.Errorf("no %s, which is for %s", address, member)
		}
	}
	for _, function := range functions {
		f := p.function(t, "geminihook-"+function)
		if got := f.block("service_config")["service_account_email"]; got != theirs(function) {
			t.Errorf("%s runs as %v", f.Address, got)
		}
		if got := f.block("build_config")["service_account"]; got != "projects/accounts/serviceAccounts/"+theirs("build") {
			t.Errorf("%s is built by %v", f.Address, got)
		}
	}
	token := p.of("google_cloud_scheduler_job")[0].block("http_target", "oidc_token")
	if token["service_account_email"] != theirs("timer") {
		t.Errorf("the timer calls as the account %v", token["service_account_email"])
	}
}

// The commands in project_grants make the grants that Terraform would make, also after a
// shell has parsed them.
func TestCompanysGrants(t *testing.T) {
	var want, got []string
	for _, grant := range planned(t, "their_accounts").of("google_project_iam_member") {
		condition := "None"
		if block := grant.block("condition"); block != nil {
			condition = fmt.Sprintf("expression=%v,title=%v", block["expression"], block["title"])
		}
		want = append(want, strings.Join([]string{
			"projects", "add-iam-policy-binding", "a-project",
			"--member=" + grant.text("member"), "--role=" + grant.text("role"), "--condition=" + condition,
		}, "|"))
	}
	p := planned(t, "their_accounts_and_grants")
	for _, r := range p.Resources {
		if strings.HasPrefix(r.Type, "google_project_iam_") {
			t.Errorf("%s is made", r.Address)
		}
	}
	var commands string
	p.output(t, "project_grants", &commands)
	const gcloud = `gcloud() { printf '%s' "$1"; shift; printf '|%s' "$@"; echo; }` + "\n"
	out, err := exec.CommandContext(t.Context(), "sh", "-euc", gcloud+commands).Output()
	if err != nil {
		t.Fatalf("%v:\n%s", err, commands)
	}
	for line := range strings.Lines(string(out)) {
		got = append(got, strings.TrimSpace(line))
	}
	same(t, "commands", got, want)
	if len(want) != 5 {
		t.Errorf("%d grants on the project", len(want))
	}
	if after := planned(t, "their_accounts").Outputs["project_grants"].After; len(after) != 0 && string(after) != "null" {
		t.Errorf("printed although Terraform makes them: %s", after)
	}
}

// Terraform makes the grants on single resources in either case.
func TestCompanysGrantsAreThoseOnTheProject(t *testing.T) {
	addresses := func(run string) (all []string) {
		for _, r := range planned(t, run).Resources {
			if r.Type != "google_project_iam_member" {
				all = append(all, r.Address)
			}
		}
		return all
	}
	same(t, "resources besides the grants on the project", addresses("their_accounts_and_grants"), addresses("their_accounts"))
}
