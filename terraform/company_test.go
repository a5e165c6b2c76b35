package terraform

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Whatever holds data or code is encrypted with the company's key.
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
				t.Errorf("%s has not the key", r.Address)
			}
		}
	}
	if len(seen) != len(holding) {
		t.Errorf("seen: %v", seen)
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
			t.Errorf("%s: restricted unless told otherwise", topic.Address)
		}
	}
}
