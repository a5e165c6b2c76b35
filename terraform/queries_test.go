package terraform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/geminihook/geminihook/shared/receiver"
)

// promQL returns all queries of a plan: of alerts, and of the dashboard's charts.
func (p plan) promQL() (queries []string) {
	for _, r := range append(p.of("google_monitoring_alert_policy"), p.of("google_monitoring_dashboard")...) {
		after := any(r.Change.After)
		if dashboard := r.text("dashboard_json"); dashboard != "" {
			_ = json.Unmarshal([]byte(dashboard), &after)
		}
		eachString(after, func(s string) {
			if strings.Contains(s, "_googleapis_com:") {
				queries = append(queries, s)
			}
		})
	}
	return queries
}

// Ids of subscriptions are matched literally, also if they contain characters with a
// meaning in regular expressions.
func TestSubscriptionsAreMatchedLiterally(t *testing.T) {
	p, matched := planned(t, "other_values"), 0
	for _, query := range p.promQL() {
		for _, m := range regexp.MustCompile(`subscription_id=~("[^"]*")`).FindAllStringSubmatch(query, -1) {
			text, err := strconv.Unquote(m[1]) // PromQL has Go's escapes
			if err != nil {
				t.Fatalf("%s: %v", m[1], err)
			}
			re, err := regexp.Compile("^(?:" + text + ")$")
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"trouble-pull", "the.re+st-pull", "once~%-pull"} {
				matched++
				if !re.MatchString(name) {
					t.Errorf("%s does not match %s", text, name)
				}
			}
			for _, name := range []string{"thexre+st-pull", "the.re.st-pull", "the.reest-pull", "the.rest-pull", "xtrouble-pull", "trouble-pull2"} {
				if re.MatchString(name) {
					t.Errorf("%s matches %s", text, name)
				}
			}
		}
	}
	if matched < 9 { // an alert and two charts
		t.Errorf("%d names matched", matched)
	}
}

// Anyone can send requests to the functions. Outcomes that any sender can cause are in no
// denominator and no percentile.
func TestNobodyCanDiluteAnAlert(t *testing.T) {
	strangers := []string{"method", "unauthorized", "malformed", "forged", "audience", "too_large", "slow_body", "overloaded"}
	ours := []string{"published", "duplicate", "mismatch", "unmarked", "stale", "busy", "unavailable"}
	same(t, "outcomes", append(ours, strangers...), values(t)["outcome"])

	p := planned(t, "defaults")
	ratios := 0
	for _, query := range p.promQL() {
		_, denominator, ok := strings.Cut(query, " / ")
		if !ok {
			continue
		}
		ratios++
		m := regexp.MustCompile(`^sum\(increase\([^{]*\{outcome=~"([^"]*)"\}`).FindStringSubmatch(denominator)
		if m == nil {
			t.Errorf("the denominator is not limited to certain outcomes: %s", query)
			continue
		}
		same(t, "denominator", strings.Split(m[1], "|"), ours)
	}
	if ratios != 1 {
		t.Errorf("%d ratios, want 1", ratios)
	}
	for _, m := range p.of("google_logging_metric") {
		if m.text("value_extractor") == "" || strings.HasPrefix(m.text("filter"), ofReconcilers) {
			continue
		}
		var counted []string
		_, outcomes, _ := strings.Cut(m.text("filter"), "jsonPayload.outcome=")
		for _, outcome := range quoted.FindAllStringSubmatch(outcomes, -1) {
			counted = append(counted, outcome[1])
		}
		same(t, m.Address, counted, ours)
	}
}

func TestPlatformsAnswersAreCounted(t *testing.T) {
	for _, status := range []string{"403", "404", "429", "500", "502", "503", "504"} {
		counted := 0
		for _, query := range planned(t, "defaults").promQL() {
			for _, m := range regexp.MustCompile(`response_code=~"([^"]*)"`).FindAllStringSubmatch(query, -1) {
				if regexp.MustCompile("^(?:" + m[1] + ")$").MatchString(status) {
					counted++
				}
				if regexp.MustCompile("^(?:" + m[1] + ")$").MatchString("405") {
					t.Errorf("the uptime checks would raise the alert: %s", query)
				}
			}
		}
		if counted != 2 { // an alert and a chart
			t.Errorf("%s is counted in %d queries, want 2", status, counted)
		}
	}
}

// Uptime checks send a GET to each function, at the URL that senders use, without a token.
func TestUptimeChecks(t *testing.T) {
	everywhere(t, func(t *testing.T, p plan) {
		var urls []string
		for _, output := range []string{"static_url", "dynamic_url"} {
			var url string
			p.output(t, output, &url)
			urls = append(urls, url)
		}
		var asked []string
		for _, check := range p.of("google_monitoring_uptime_check_config") {
			request := check.block("http_check")
			labels, _ := check.block("monitored_resource")["labels"].(map[string]any)
			asked = append(asked, fmt.Sprint("https://", labels["host"], request["path"]))
			statuses, _ := request["accepted_response_status_codes"].([]any)
			if request["request_method"] != "GET" || request["use_ssl"] != true || request["validate_ssl"] != true || len(statuses) != 1 ||
				statuses[0].(map[string]any)["status_value"] != 405.0 {
				t.Errorf("%s: %v", check.Address, request)
			}
			if request["body"] != nil || request["auth_info"] != nil && len(request["auth_info"].([]any)) > 0 {
				t.Errorf("%s sends more than a GET: %v", check.Address, request)
			}
		}
		same(t, "asked", asked, urls)
		watched := make(map[string]bool)
		for _, query := range p.promQL() {
			for _, m := range regexp.MustCompile(`check_id="([^"]*)"`).FindAllStringSubmatch(query, -1) {
				watched[m[1]] = true
			}
		}
		if len(watched) != 2 {
			t.Errorf("%d checks can raise an alert, want 2", len(watched))
		}
	})
}

// The alert on the platform's answers does not count the functions' own 503. A 503 that
// any sender can cause raises no alert on the receiver.
func TestOwn503sAreNoOutage(t *testing.T) {
	own := found(t, "../shared/receiver/answer.go", `outcome: "(\w+)", status: http\.StatusServiceUnavailable`)
	subtracted := 0
	for _, policy := range planned(t, "defaults").of("google_monitoring_alert_policy") {
		if !strings.Contains(policy.Address, `"unavailable"`) {
			continue
		}
		eachString(policy.Change.After["conditions"], func(query string) {
			if _, less, ok := strings.Cut(query, " - (sum"); ok {
				subtracted++
				same(t, "subtracted", strings.Split(matcher.FindStringSubmatch(less)[3], "|"), own)
			} else if strings.Contains(query, "overloaded") || strings.Contains(query, "slow_body") {
				t.Errorf("any sender can raise %s: %s", policy.Address, query)
			}
		})
	}
	if subtracted != 1 {
		t.Errorf("our own answers are subtracted %d times, want once", subtracted)
	}
}

type shut struct{}

func (shut) Check(context.Context, string) error { return errors.New("the gate was asked") }

// A GET is answered before the URL token is checked, so uptime checks need no token.
func TestGETNeedsNoToken(t *testing.T) {
	w := httptest.NewRecorder()
	dynamic := &receiver.Receiver{Gate: shut{}, Log: slog.New(slog.DiscardHandler)}
	dynamic.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("answered %d", w.Code)
	}
}
