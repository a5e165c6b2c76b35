package terraform

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// reconcilers matches the addresses of resources that only the reconciler needs.
var reconcilers = regexp.MustCompile(`reconcile|timer|jobs|api_key|pass_time|cloudscheduler|\["(?:webhook|missed|held|lost|passes)"\]`)

func TestOffHasNoneOfIt(t *testing.T) {
	on := 0
	for _, r := range planned(t, "defaults").Resources {
		if reconcilers.MatchString(r.Address) {
			on++
		}
	}
	if on < 40 {
		t.Errorf("%d resources if it is on", on)
	}
	off := planned(t, "reconcile_off")
	for _, r := range off.Resources {
		if reconcilers.MatchString(r.Address) {
			t.Errorf("%s exists although the reconciler is off", r.Address)
		}
		eachString(r.Change.After, func(s string) {
			if r.Type != "google_monitoring_alert_policy" && strings.Contains(s, "reconcile") {
				t.Errorf("%s: %.100s", r.Address, s)
			}
		})
	}
	if n, all := len(off.Resources), len(planned(t, "defaults").Resources); n != all-on {
		t.Errorf("%d resources if it is off, of %d of which %d are the reconciler's", n, all, on)
	}
}

// reconcile = "off" destroys the reconciler's resources in one apply, also if the
// installation is protected.
func TestItCanBeTurnedOff(t *testing.T) {
	gone := 0
	for _, r := range planned(t, "turns_reconcile_off").Resources {
		if !slices.Contains(r.Change.Actions, "delete") {
			continue
		}
		gone++
		if !reconcilers.MatchString(r.Address) {
			t.Errorf("%s is destroyed too", r.Address)
		}
		if r.Change.Before["deletion_policy"] == "PREVENT" || r.Change.Before["deletion_protection"] == true {
			t.Errorf("%s is protected", r.Address)
		}
	}
	if gone < 40 {
		t.Errorf("%d resources are destroyed", gone)
	}
}

// A pass ends before the function's timeout, which ends before the attempt deadline of
// Cloud Scheduler, after which the next pass may start.
func TestPassesDoNotOverlap(t *testing.T) {
	p := planned(t, "defaults")
	function := p.function(t, "geminihook-reconcile").block("service_config")
	job := p.of("google_cloud_scheduler_job")[0]
	deadline, err := time.ParseDuration(job.text("attempt_deadline"))
	if err != nil {
		t.Fatal(err)
	}
	timeout := time.Duration(function["timeout_seconds"].(float64)) * time.Second
	found(t, "../shared/reconcile/reconcile.go", `DefaultTimeout = 2 \* time\.Minute`)
	if timeout <= 2*time.Minute || timeout >= deadline || deadline >= 5*time.Minute {
		t.Errorf("timeout %v, attempt deadline %v, shortest period 5m", timeout, deadline)
	}
	for name, want := range map[string]any{
		"ingress_settings": "ALLOW_INTERNAL_ONLY", "max_instance_request_concurrency": 1.0,
		"min_instance_count": 0.0, "max_instance_count": 1.0,
	} {
		if function[name] != want {
			t.Errorf("%s is %v, want %v", name, function[name], want)
		}
	}
	if retry := job.block("retry_config"); retry["retry_count"] != 0.0 {
		t.Errorf("a failed pass is retried: %v", retry)
	}
}

// The timer calls the function with an account of its own. No other account may call it.
func TestOnlyTheTimerCallsIt(t *testing.T) {
	p := planned(t, "defaults")
	target := p.of("google_cloud_scheduler_job")[0].block("http_target")
	token, _ := json.Marshal(target["oidc_token"])
	const uri = "https://geminihook-reconcile-a1b2c3.a.run.app"
	if target["http_method"] != "POST" || target["uri"] != uri || target["body"] != nil ||
		string(token) != `[{"audience":"`+uri+`","service_account_email":"timer"}]` {
		t.Errorf("%v, %s", target, token)
	}
	for _, grant := range p.of("google_cloud_run_v2_service_iam_member") {
		if grant.text("name") == "geminihook-reconcile" && grant.text("member") != "serviceAccount:timer" {
			t.Errorf("%s may call it", grant.text("member"))
		}
	}
	for _, r := range p.Resources {
		if strings.Contains(r.Type, "_iam_") && r.text("member") == "serviceAccount:timer" && r.text("role") != "roles/run.invoker" {
			t.Errorf("%s: the timer's account has %s", r.Address, r.text("role"))
		}
	}
}

// Ids of service accounts have at most 30 characters, also if the installation's name has
// the maximum length.
func TestAccountsFitTheLongestName(t *testing.T) {
	found(t, "variables.tf", `\[a-z\]\[a-z0-9-\]\{2,(20)\}\[a-z0-9\]`)
	for _, account := range planned(t, "defaults").of("google_service_account") {
		if id := account.text("account_id"); len(id)-len("geminihook")+22 > 30 {
			t.Errorf("%s: %q is too long for a name of 22 characters", account.Address, id)
		}
	}
}

// The alert on passes is raised if several consecutive passes fail, and not if one does.
func TestOneFailedPassIsNoAlert(t *testing.T) {
	const none = `^absent\(sum\(increase\(logging_googleapis_com:user_geminihook_complete_passes\[(\d+)m\]\)\) > 0\)$`
	for _, policy := range planned(t, "defaults").of("google_monitoring_alert_policy") {
		if !strings.Contains(policy.Address, `"passes"`) {
			continue
		}
		condition := policy.block("conditions", "condition_prometheus_query_language")
		window := regexp.MustCompile(none).FindStringSubmatch(fmt.Sprint(condition["query"]))
		if window == nil {
			t.Fatalf("%v", condition["query"])
		}
		minutes, _ := strconv.Atoi(window[1])
		duration, err := time.ParseDuration(fmt.Sprint(condition["duration"]))
		if total := time.Duration(minutes)*time.Minute + duration; err != nil || total != 45*time.Minute {
			t.Errorf("raised after %v, %v", total, err)
		}
		return
	}
	t.Error("there is no such alert")
}

// All fields have an entry, because Firestore indexes others. Only queried fields have an
// index.
func TestEveryFieldOfAJobIsAccountedFor(t *testing.T) {
	want := map[string][]string{
		"jobs":      {"ended_at", "expire_at", "kind", "missed_since", "misses", "name", "next_at", "registered_at", "state"},
		"reconcile": {"at", "form", "job", "kind"},
	}
	same(t, "fields in shared/jobs", slices.Compact(slices.Sorted(slices.Values(slices.Concat(want["jobs"], want["reconcile"])))),
		found(t, "../shared/jobs/*.go", `firestore:"(\w+)`))
	same(t, "queried fields", []string{"state"}, found(t, "../shared/jobs/*.go", `(?:Where|OrderBy)\("(\w+)"`))
	same(t, "queried fields of records", []string{"endpoint", "job_id", "type"}, found(t, "../shared/dedup/*.go", `(?:Where|OrderBy)\("(\w+)"`))
	got := make(map[string][]string)
	for _, field := range planned(t, "defaults").of("google_firestore_field") {
		collection, name := field.text("collection"), field.text("field")
		if collection == "deliveries" {
			continue
		}
		got[collection] = append(got[collection], name)
		indexes, _ := field.block("index_config")["indexes"].([]any)
		expires, _ := field.Change.After["ttl_config"].([]any)
		if (len(indexes) == 1) != (name == "state") || (len(expires) == 1) != (name == "expire_at") || field.text("database") != "geminihook" {
			t.Errorf("%s: indexes %v, TTL %v", field.Address, indexes, expires)
		}
	}
	for collection := range want {
		same(t, collection, got[collection], want[collection])
	}
}
