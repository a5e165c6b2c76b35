package terraform

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

var (
	pageLink      = regexp.MustCompile(`\]\(([a-z-]+\.md)\)`)
	payload       = regexp.MustCompile(`jsonPayload\.(\w+)`)
	message       = regexp.MustCompile(`jsonPayload\.message="([^"]*)"`)
	quoted        = regexp.MustCompile(`"([^"]*)"`)
	ofReceivers   = `resource.type="cloud_run_revision" AND resource.labels.service_name=("geminihook-static" OR "geminihook-dynamic") AND jsonPayload.message=`
	ofReconcilers = `resource.type="cloud_run_revision" AND resource.labels.service_name="geminihook-reconcile" AND jsonPayload.message=`
)

// logFilter checks that a filter, and the extractors for the lines that pass it, use only
// fields and values that such lines have.
func logFilter(t *testing.T, address, filter string, extractors ...any) {
	t.Helper()
	if about := message.FindStringSubmatch(filter); about == nil || !strings.HasPrefix(filter, linesOf(about[1])) {
		t.Errorf("%s: the filter is not limited to log lines of the functions: %s", address, filter)
		return
	}
	fields := logged(t)[message.FindStringSubmatch(filter)[1]]
	eachString(append(extractors, filter), func(s string) {
		for _, field := range payload.FindAllStringSubmatch(s, -1) {
			if !slices.Contains(fields, field[1]) {
				t.Errorf("%s: the line has no field %q: %s", address, field[1], s)
			}
		}
	})
	if strings.Contains(filter, "jsonPayload.error") {
		t.Errorf("%s: filters on an error's text, which may change: %s", address, filter)
	}
	for name, known := range valuesOf(t, message.FindStringSubmatch(filter)[1]) {
		for _, expression := range regexp.MustCompile(`jsonPayload\.`+name+`=("[^"]*"|\([^)]*\))`).FindAllStringSubmatch(filter, -1) {
			for _, value := range quoted.FindAllStringSubmatch(expression[1], -1) {
				if !slices.Contains(known, value[1]) {
					t.Errorf("%s: no %s is %q", address, name, value[1])
				}
			}
		}
	}
}

// linesOf returns the beginning of a filter for lines of a message.
func linesOf(message string) string {
	if slices.Contains(passes, message) {
		return ofReconcilers
	}
	return ofReceivers
}

func TestMetricsReadWhatIsLogged(t *testing.T) {
	metrics := planned(t, "defaults").of("google_logging_metric")
	if len(metrics) != 7 {
		t.Errorf("%d metrics", len(metrics))
	}
	for _, m := range metrics {
		logFilter(t, m.Address, m.text("filter"), m.Change.After["label_extractors"], m.text("value_extractor"))
		descriptor := m.block("metric_descriptor")
		if kind := descriptor["metric_kind"]; kind != "DELTA" {
			t.Errorf("%s: a log-based metric of kind %v", m.Address, kind)
		}
		if (descriptor["value_type"] == "DISTRIBUTION") != (m.text("value_extractor") != "") {
			t.Errorf("%s: want a value extractor if and only if the metric is a distribution", m.Address)
		}
		var declared []string
		labels, _ := descriptor["labels"].([]any)
		for _, label := range labels {
			declared = append(declared, fmt.Sprint(label.(map[string]any)["key"]))
		}
		same(t, m.Address, declared, m.labels())
	}
}

// labels returns the labels of a metric.
func (r resource) labels() []string {
	extractors, _ := r.Change.After["label_extractors"].(map[string]any)
	return slices.Collect(maps.Keys(extractors))
}

func TestTypesAreBounded(t *testing.T) {
	for _, m := range planned(t, "defaults").of("google_logging_metric") {
		extractors, _ := m.Change.After["label_extractors"].(map[string]any)
		extractor, ok := extractors["type"].(string)
		if !ok {
			continue
		}
		pattern, ok := strings.CutPrefix(extractor, `REGEXP_EXTRACT(jsonPayload.type, "`)
		re := regexp.MustCompile(strings.TrimSuffix(pattern, `")`))
		for _, known := range eventTypes {
			if found := re.FindStringSubmatch(known); !ok || found == nil || found[1] != known {
				t.Errorf("%s: no label value for %s", m.Address, known)
			}
		}
		for _, other := range []string{"batch.succeeded2", "xbatch.succeeded", "batch_succeeded", "batch.new", ""} {
			if re.MatchString(other) {
				t.Errorf("%s: %q becomes a label's value", m.Address, other)
			}
		}
	}
}

var (
	series  = regexp.MustCompile(`([a-z_]+_googleapis_com:\w+)(?:\{([^}]*)\})?`)
	matcher = regexp.MustCompile(`(\w+)(=~?)"([^"]*)"`)
	by      = regexp.MustCompile(`by \(([^)]*)\)`)

	// identified has the labels whose values are attributes of our resources.
	identified = map[string]struct{ kind, by string }{
		"service_name":    {"google_cloudfunctions2_function", "name"},
		"subscription_id": {"google_pubsub_subscription", "name"},
		"check_id":        {"google_monitoring_uptime_check_config", "uptime_check_id"},
	}
)

// query checks a query in PromQL, and returns the metrics in it. If a query is wrong, the
// console shows "no data", and an alert on it is never raised.
func query(t *testing.T, p plan, where, text string) (metrics []string) {
	t.Helper()
	labels := map[string][]string{ // what others' series have
		"run_googleapis_com:request_count":                              {"monitored_resource", "service_name", "response_code"},
		"pubsub_googleapis_com:subscription_oldest_unacked_message_age": {"monitored_resource", "subscription_id"},
		"pubsub_googleapis_com:subscription_num_undelivered_messages":   {"monitored_resource", "subscription_id"},
		"monitoring_googleapis_com:uptime_check_check_passed":           {"monitored_resource", "check_id"},
	}
	for _, m := range p.of("google_logging_metric") {
		name := "logging_googleapis_com:user_" + regexp.MustCompile(`\W`).ReplaceAllString(m.text("name"), "_")
		own := m.labels()
		if m.block("metric_descriptor")["value_type"] == "DISTRIBUTION" {
			name, own = name+"_bucket", append(own, "le")
		}
		labels[name] = own
	}
	for _, pair := range []string{"()", "{}", "[]"} {
		if strings.Count(text, pair[:1]) != strings.Count(text, pair[1:]) {
			t.Errorf("%s: unbalanced %s: %s", where, pair, text)
		}
	}
	var known []string
	for _, s := range series.FindAllStringSubmatch(text, -1) {
		own, ok := labels[s[1]]
		if !ok {
			t.Errorf("%s: no metric %s", where, s[1])
		}
		metrics, known = append(metrics, s[1]), append(known, own...)
		for _, m := range matcher.FindAllStringSubmatch(s[2], -1) {
			if !slices.Contains(own, m[1]) {
				t.Errorf("%s: %s has no label %s", where, s[1], m[1])
			}
			for _, value := range strings.Split(m[3], "|") {
				if known := values(t)[m[1]]; known != nil && !slices.Contains(known, value) {
					t.Errorf("%s: no %s is %q", where, m[1], value)
				}
				if named, ok := identified[m[1]]; ok && !slices.ContainsFunc(p.of(named.kind), func(r resource) bool { return r.text(named.by) == value }) {
					t.Errorf("%s: no %s is %q", where, m[1], value)
				}
			}
		}
	}
	if len(metrics) == 0 {
		t.Errorf("%s: no metric in the query %s", where, text)
	}
	for _, group := range by.FindAllStringSubmatch(text, -1) {
		for _, label := range strings.Split(group[1], ", ") {
			if !slices.Contains(known, label) {
				t.Errorf("%s: sums by %s, a label that no metric in it has", where, label)
			}
		}
	}
	return metrics
}

func TestAlerts(t *testing.T) {
	pages, err := filepath.Glob("runbooks/*.md")
	if err != nil {
		t.Fatal(err)
	}
	unused := make(map[string]bool)
	for _, page := range pages {
		unused[filepath.Base(page)] = true
	}
	p := planned(t, "defaults")
	var names []string
	for _, policy := range p.of("google_monitoring_alert_policy") {
		_, name, _ := strings.Cut(policy.Address, `"`)
		names = append(names, strings.TrimSuffix(name, `"]`))

		url := fmt.Sprint(policy.block("documentation", "links")["url"])
		page := path.Base(url)
		delete(unused, page)
		text, err := os.ReadFile(filepath.Join("runbooks", page))
		if err != nil {
			t.Errorf("%s links to no page: %v", policy.Address, err)
		}
		if title, _, _ := strings.Cut(string(text), "\n"); "# "+strings.TrimPrefix(policy.text("display_name"), "geminihook: ") != title {
			t.Errorf("%s is called %q, but its page %q", policy.Address, policy.text("display_name"), title)
		}
		content := fmt.Sprint(policy.block("documentation")["content"])
		pageWithLinks := pageLink.ReplaceAllString(string(text), "]("+strings.TrimSuffix(url, page)+"$1)")
		if !strings.HasPrefix(content, pageWithLinks+"\n## This installation\n") {
			t.Errorf("%s does not contain the text of its page %s, and then the installation:\n%s", policy.Address, page, content)
		}
		if n := utf8.RuneCountInString(content); n > 8192 || len(content) > 10240 {
			t.Errorf("%s: %d characters of the 8192 that an alert can carry", policy.Address, n)
		}

		conditions, _ := policy.Change.After["conditions"].([]any)
		if len(conditions) == 0 {
			t.Errorf("%s has no condition", policy.Address)
		}
		for _, condition := range conditions {
			c := resource{}
			c.Change.After = condition.(map[string]any)
			if match := c.block("condition_matched_log"); match != nil {
				logFilter(t, policy.Address, fmt.Sprint(match["filter"]))
				if policy.block("alert_strategy", "notification_rate_limit") == nil || len(conditions) != 1 {
					t.Errorf("%s: want one condition and a notification rate limit for an alert on log entries", policy.Address)
				}
				continue
			}
			promQL := c.block("condition_prometheus_query_language")
			query(t, p, policy.Address, fmt.Sprint(promQL["query"]))
			if promQL["disable_metric_validation"] != true {
				t.Errorf("%s: want disable_metric_validation, because the alert is created in the same apply as its metric", policy.Address)
			}
		}
	}
	for page := range unused {
		t.Errorf("runbooks/%s belongs to no alert", page)
	}
	same(t, "alerts", names, []string{"refused", "stale", "audience", "unavailable", "overloaded", "unreachable", "latency", "dead-letters", "backlog", "silence", "secret",
		"webhook", "missed", "held", "lost", "passes"})
}

// The page in an alert has the names of its own installation.
func TestAlertsOfAnotherInstallation(t *testing.T) {
	var all strings.Builder
	for _, policy := range planned(t, "other_values").of("google_monitoring_alert_policy") {
		fmt.Fprintln(&all, policy.block("documentation")["content"])
	}
	for _, foreign := range []string{"geminihook-", "us-central1", "](unavailable.md)"} {
		if strings.Contains(all.String(), foreign) {
			t.Errorf("an alert of the installation hooks in europe-west1 contains %q", foreign)
		}
	}
	for _, own := range []string{"--secret=hooks-signing-secret", "--location=europe-west1", "https://europe-west1-a-project.cloudfunctions.net/hooks-static", "--project=a-project"} {
		if !strings.Contains(all.String(), own) {
			t.Errorf("no alert of the installation hooks in europe-west1 contains %q", own)
		}
	}
}

// A dashboard is the part of dashboard_json that tests read.
type dashboard struct {
	MosaicLayout struct {
		Columns int
		Tiles   []struct {
			XPos, YPos, Width, Height int
			Widget                    map[string]any
		}
	}
}

// dashboard returns the plan's dashboard.
func (p plan) dashboard(t *testing.T) (d dashboard) {
	t.Helper()
	if err := json.Unmarshal([]byte(p.of("google_monitoring_dashboard")[0].text("dashboard_json")), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// A runbook quotes the charts of the dashboard, and the conditions of its alert, by
// their titles. The unit at the end of a chart's title may be left out.
func TestRunbooksQuoteTitles(t *testing.T) {
	p := planned(t, "defaults")
	var charts []string
	for _, tile := range p.dashboard(t).MosaicLayout.Tiles {
		title := fmt.Sprint(tile.Widget["title"])
		charts = append(charts, title, regexp.MustCompile(` \(\w+\)$`).ReplaceAllString(title, ""))
	}
	quotes := 0
	for _, policy := range p.of("google_monitoring_alert_policy") {
		var conditions []string
		all, _ := policy.Change.After["conditions"].([]any)
		for _, condition := range all {
			conditions = append(conditions, fmt.Sprint(condition.(map[string]any)["display_name"]))
		}
		text := fmt.Sprint(policy.block("documentation")["content"])
		for line := range strings.Lines(text) {
			titles := charts
			if strings.Contains(line, "Which condition") {
				titles = conditions
			} else if !strings.Contains(strings.ToLower(line), "dashboard") {
				continue
			}
			for _, quote := range regexp.MustCompile(`"([^"]+)"`).FindAllStringSubmatch(line, -1) {
				quotes++
				if !slices.Contains(titles, quote[1]) {
					t.Errorf("%s: its page quotes %q, which is not in %q", policy.Address, quote[1], titles)
				}
			}
		}
	}
	if quotes < 12 {
		t.Errorf("%d quotes", quotes)
	}
}

func TestDashboard(t *testing.T) {
	p := planned(t, "defaults")
	dashboard := p.dashboard(t)
	shown := make(map[string]bool)
	taken := make(map[[2]int]string)
	for _, tile := range dashboard.MosaicLayout.Tiles {
		title := fmt.Sprint(tile.Widget["title"])
		for x := tile.XPos; x < tile.XPos+tile.Width; x++ {
			for y := tile.YPos; y < tile.YPos+tile.Height; y++ {
				if x >= dashboard.MosaicLayout.Columns || taken[[2]int{x, y}] != "" {
					t.Errorf("%q is outside of the grid, or covers %q", title, taken[[2]int{x, y}])
				}
				taken[[2]int{x, y}] = title
			}
		}
		queries := 0
		eachString(tile.Widget, func(s string) {
			if strings.Contains(s, "_googleapis_com:") {
				queries++
				for _, metric := range query(t, p, title, s) {
					shown[strings.TrimSuffix(metric, "_bucket")] = true
				}
			}
		})
		if queries != 1 || len(tile.Widget) != 2 {
			t.Errorf("%q: %d queries in a widget of %d parts", title, queries, len(tile.Widget))
		}
	}
	for _, m := range p.of("google_logging_metric") {
		if !shown["logging_googleapis_com:user_"+strings.ReplaceAll(m.text("name"), "/", "_")] {
			t.Errorf("%s is not on the dashboard", m.Address)
		}
	}
}
