package terraform

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// declared returns the bodies of all variables or outputs, by "file: name".
func declared(t *testing.T, block string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, pattern := range []string{"*.tf", "function/*.tf", "edge/*.tf"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			for _, found := range regexp.MustCompile(`(?ms)^`+block+` "(\w+)" \{$(.*?)^\}$`).FindAllStringSubmatch(read(t, file), -1) {
				all[file+": "+found[1]] = found[2]
			}
		}
	}
	if len(all) == 0 {
		t.Fatalf("no %ss", block)
	}
	return all
}

func TestEverythingIsDescribed(t *testing.T) {
	for _, block := range []string{"variable", "output"} {
		for name, body := range declared(t, block) {
			if !strings.Contains(body, "\n  description ") {
				t.Errorf("%s %s has no description", block, name)
			}
			if block == "variable" && !strings.Contains(body, "\n  type ") {
				t.Errorf("variable %s has no type", name)
			}
		}
	}
}

// Null either is the default, or means something that the description says.
func TestNullMeansTheDefault(t *testing.T) {
	for name, body := range declared(t, "variable") {
		nullable := !regexp.MustCompile(`\n  nullable +=[ ]false\n`).MatchString(body)
		if meant := strings.Contains(body, "Null: "); nullable != meant {
			t.Errorf("variable %s: nullable %t, but described as if %t", name, nullable, meant)
		}
	}
}

// Every resource that can have labels has ours. A plan shows all attributes of a
// resource, those without a value included.
func TestLabels(t *testing.T) {
	for run, want := range map[string]map[string]any{
		"defaults":     {"app": "geminihook"},
		"other_values": {"app": "hooks", "team": "video"},
	} {
		labelled := make(map[string]bool)
		for _, r := range planned(t, run).Resources {
			for _, attribute := range []string{"labels", "user_labels"} {
				got, ok := r.Change.After[attribute]
				if r.Mode != "managed" || !ok {
					continue
				}
				labelled[r.Type] = true
				if !reflect.DeepEqual(got, any(want)) {
					text, _ := json.Marshal(got)
					t.Errorf("%s, %s: labels %s, want %v", run, r.Address, text, want)
				}
			}
		}
		for _, kind := range []string{
			"google_artifact_registry_repository", "google_cloudfunctions2_function", "google_monitoring_alert_policy",
			"google_monitoring_uptime_check_config", "google_pubsub_subscription", "google_pubsub_topic",
			"google_secret_manager_secret", "google_storage_bucket",
		} {
			if !labelled[kind] {
				t.Errorf("%s: no %s has labels", run, kind)
			}
		}
	}
}
