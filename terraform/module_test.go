package terraform

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

// Every resource sets its project and region. The module has no provider block, so the
// defaults would be those of the calling root.
func TestResourcesNameTheirProjectAndRegion(t *testing.T) {
	eachShape(t, func(t *testing.T, s shape, p plan) {
		for _, r := range p.Resources {
			region := "us-central1"
			if strings.Contains(r.Address, "hooks-eu") {
				region = "europe-west1"
			}
			for attribute, want := range map[string]string{"project": "a-project", "region": region} {
				if got, ok := r.Change.After[attribute]; ok && got != want && r.Mode == "managed" && r.Type != "google_compute_global_forwarding_rule" {
					t.Errorf("%s: %s is %v", r.Address, attribute, got)
				}
			}
		}
	})
}

func TestProvidersAreTheCallers(t *testing.T) {
	for _, file := range []string{"versions.tf", "function/versions.tf", "edge/versions.tf"} {
		if regexp.MustCompile(`(?m)^provider `).MatchString(read(t, file)) {
			t.Errorf("%s: with a provider block a module cannot be called with for_each", file)
		}
	}
}

// identity returns the attributes that distinguish a resource from others of its type in
// a project.
func identity(t *testing.T, r resource) string {
	t.Helper()
	identity := map[string]any{"type": r.Type}
	for _, attribute := range []string{
		"project", "name", "account_id", "secret_id", "repository_id", "display_name", "dashboard_json",
		"database", "collection", "field", "bucket", "table_id",
	} {
		if value := r.Change.After[attribute]; value != nil {
			identity[attribute] = value
		}
	}
	text, err := json.Marshal(identity)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
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
