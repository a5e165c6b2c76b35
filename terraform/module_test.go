package terraform

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

// Without a provider block, what a resource does not name is the provider's default:
// that of the root which calls the module, or none.
func TestResourcesNameTheirProjectAndRegion(t *testing.T) {
	for _, r := range planned(t, "defaults").Resources {
		for attribute, want := range map[string]string{"project": "a-project", "region": "us-central1"} {
			if got, ok := r.Change.After[attribute]; ok && got != want && r.Mode == "managed" {
				t.Errorf("%s: %s is %v", r.Address, attribute, got)
			}
		}
	}
}

func TestProvidersAreTheCallers(t *testing.T) {
	for _, file := range []string{"versions.tf", "function/versions.tf"} {
		if regexp.MustCompile(`(?m)^provider `).MatchString(read(t, file)) {
			t.Errorf("%s: with a provider block a module cannot be called with for_each", file)
		}
	}
}

// Two installations share a project, and no name in it.
func TestTwoInstallationsShareNoName(t *testing.T) {
	named, of := make(map[string]string), make(map[string]int)
	for _, r := range planned(t, "two_installations").Resources {
		if r.Mode != "managed" || r.Type == "google_project_service" || strings.Contains(r.Type, "_iam_") || strings.HasPrefix(r.Type, "terraform_") {
			continue
		}
		installation := regexp.MustCompile(`^module\.geminihook\["([a-z-]+)"\]`).FindStringSubmatch(r.Address)
		if installation == nil {
			t.Fatalf("%s is not in the module", r.Address)
		}
		of[installation[1]]++
		identity := map[string]any{"type": r.Type}
		for _, attribute := range []string{
			"project", "name", "account_id", "secret_id", "repository_id", "display_name", "dashboard_json",
			"database", "collection", "field", "bucket",
		} {
			if value := r.Change.After[attribute]; value != nil {
				identity[attribute] = value
			}
		}
		key, err := json.Marshal(identity)
		if err != nil {
			t.Fatal(err)
		}
		if other := named[string(key)]; other != "" {
			t.Errorf("%s and %s are one thing: %.200s", other, r.Address, key)
		}
		named[string(key)] = r.Address
	}
	if len(of) != 2 || of["hooks"] != of["hooks-eu"] || of["hooks"] < 60 {
		t.Errorf("resources: %v", of)
	}
}

// The example's subscriptions are on the module's topics.
func TestExample(t *testing.T) {
	p := planned(t, "example")
	var subscribed, topics []string
	for _, s := range p.of("google_pubsub_subscription") {
		if !strings.HasPrefix(s.Address, "module.") {
			subscribed = append(subscribed, s.text("name"))
			if expiration := s.block("expiration_policy"); expiration == nil || expiration["ttl"] != "" {
				t.Errorf("%s expires", s.Address)
			}
		}
	}
	for _, topic := range p.of("google_pubsub_topic") {
		if strings.Contains(topic.Address, ".route[") {
			topics = append(topics, topic.text("name")+"-bigquery")
		}
	}
	same(t, "the example's subscriptions", subscribed, append(topics, "geminihook-video-push"))
	if len(topics) != 4 {
		t.Errorf("%d topics", len(topics))
	}
	granted := false
	for _, grant := range p.of("google_pubsub_subscription_iam_member") {
		granted = granted || grant.text("member") == "serviceAccount:worker@a-project.iam.gserviceaccount.com"
	}
	if !granted {
		t.Error("the consumer has no grant")
	}
}
