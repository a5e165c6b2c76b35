package terraform

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A shape is the kind of installation that a run of tests/*.tftest.hcl plans.
type shape struct {
	run       string
	names     []string // of the installations
	images    bool     // else functions
	edge      bool     // whether requests come through a load balancer
	reconcile bool
}

var (
	root   = []string{"geminihook"}
	two    = []string{"hooks", "hooks-eu"}
	shapes = []shape{
		{"defaults", root, false, false, true},
		{"reconcile_off", root, false, false, false},
		{"behind_the_edge", root, false, true, true},
		{"root_edge_off", root, false, true, false},
		{"images", root, true, false, true},
		{"images_without_reconcile", root, true, false, false},
		{"root_images_edge", root, true, true, true},
		{"root_images_edge_off", root, true, true, false},
		{"example", root, false, false, true},
		{"one_edge", root, false, true, true},
		{"two_installations", two, false, false, true},
		{"two_off", two, false, false, false},
		{"two_edge", two, false, true, true},
		{"two_images", two, true, false, true},
		{"two_images_edge_off", two, true, true, false},
	}
)

// eachShape runs a test on the plan of each shape.
func eachShape(t *testing.T, test func(t *testing.T, s shape, p plan)) {
	t.Helper()
	for _, s := range shapes {
		t.Run(s.run, func(t *testing.T) { test(t, s, planned(t, s.run)) })
	}
}

// services returns the functions, or the Cloud Run services of images, by name. The values
// are their ingress settings as in the Cloud Functions API.
func (p plan) services() map[string]string {
	ingress := make(map[string]string)
	for _, f := range p.of("google_cloudfunctions2_function") {
		ingress[f.text("name")] = fmt.Sprint(f.block("service_config")["ingress_settings"])
	}
	for _, s := range p.of("google_cloud_run_v2_service") {
		ingress[s.text("name")] = map[string]string{
			"INGRESS_TRAFFIC_ALL": "ALLOW_ALL", "INGRESS_TRAFFIC_INTERNAL_ONLY": "ALLOW_INTERNAL_ONLY",
			"INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER": "ALLOW_INTERNAL_AND_GCLB",
		}[s.text("ingress")]
	}
	return ingress
}

// Anyone may call the two receivers of an installation, and no other function: because of
// a grant to allUsers, or, with images, because the invoker check is disabled; never both.
func TestPublicInExactlyOneWay(t *testing.T) {
	eachShape(t, func(t *testing.T, s shape, p plan) {
		var granted, unchecked, receivers []string
		for _, r := range p.Resources {
			eachString(r.Change.After, func(value string) {
				if value == "allUsers" || value == "allAuthenticatedUsers" {
					granted = append(granted, r.text("name"))
				}
			})
			if r.Change.After["invoker_iam_disabled"] == true {
				unchecked = append(unchecked, r.text("name"))
			}
		}
		for _, name := range s.names {
			receivers = append(receivers, name+"-static", name+"-dynamic")
		}
		public, private := granted, unchecked
		if s.images {
			public, private = unchecked, granted
		}
		same(t, "public", public, receivers)
		same(t, "public in another way as well", private, nil)
	})
}

// If there is a load balancer, the receivers accept requests from it only. The reconciler
// accepts requests from inside of the project only.
func TestIngress(t *testing.T) {
	eachShape(t, func(t *testing.T, s shape, p plan) {
		ingress := "ALLOW_ALL"
		if s.edge {
			ingress = "ALLOW_INTERNAL_AND_GCLB"
		}
		var got, want []string
		for name, value := range p.services() {
			got = append(got, name+" "+value)
		}
		for _, name := range s.names {
			want = append(want, name+"-static "+ingress, name+"-dynamic "+ingress)
			if s.reconcile {
				want = append(want, name+"-reconcile ALLOW_INTERNAL_ONLY")
			}
		}
		same(t, "ingress", got, want)
	})
}

// An edge has a route to each receiver of its installation.
func TestEdgeLeadsToTheReceivers(t *testing.T) {
	for _, run := range []string{"one_edge", "two_edge", "two_images_edge_off"} {
		p := planned(t, run)
		var leads, receivers []string
		for _, group := range p.of("google_compute_region_network_endpoint_group") {
			leads = append(leads, fmt.Sprint(group.block("cloud_run")["service"]))
		}
		for name := range p.services() {
			if !strings.HasSuffix(name, "-reconcile") {
				receivers = append(receivers, name)
			}
		}
		same(t, run+": behind the edge", leads, receivers)
	}
}

// With images there are no resources of the build, and without the reconciler none of the
// reconciler.
func TestShapesHaveNoMore(t *testing.T) {
	built := regexp.MustCompile(`\.build\b|\["build/|google_storage_|google_artifact_|google_cloudfunctions2_`)
	eachShape(t, func(t *testing.T, s shape, p plan) {
		of := make(map[*regexp.Regexp]int)
		for _, r := range p.Resources {
			for _, kind := range []*regexp.Regexp{built, reconcilers} {
				if kind.MatchString(r.Address) {
					of[kind]++
				}
			}
		}
		if (of[built] > 0) == s.images {
			t.Errorf("%d resources are of the build", of[built])
		}
		if (of[reconcilers] > 0) != s.reconcile {
			t.Errorf("%d resources are of the reconciler", of[reconcilers])
		}
	})
}

// Every resource that can have labels has ours. A plan shows all attributes of a resource,
// also those without a value.
func TestLabels(t *testing.T) {
	labelled := make(map[string]bool)
	check := func(t *testing.T, names []string, team any, p plan) {
		t.Helper()
		for _, r := range p.Resources {
			for _, attribute := range []string{"labels", "user_labels"} {
				value, ok := r.Change.After[attribute]
				if r.Mode != "managed" || !ok {
					continue
				}
				labelled[r.Type] = true
				labels, _ := value.(map[string]any)
				if app, _ := labels["app"].(string); !slices.Contains(names, app) || labels["team"] != team {
					t.Errorf("%s: %s are %v, want app, one of %v, and team %v", r.Address, attribute, labels, names, team)
				}
			}
		}
	}
	eachShape(t, func(t *testing.T, s shape, p plan) { check(t, s.names, nil, p) })
	for run, name := range map[string]string{"other_values": "hooks", "edge": "geminihook"} {
		t.Run(run, func(t *testing.T) { check(t, []string{name}, "video", planned(t, run)) })
	}
	var kinds []string
	for kind := range labelled {
		kinds = append(kinds, kind)
	}
	same(t, "kinds of resources that have labels", kinds, []string{
		"google_artifact_registry_repository", "google_bigquery_table", "google_cloud_run_v2_service",
		"google_cloudfunctions2_function", "google_compute_global_address", "google_compute_global_forwarding_rule",
		"google_monitoring_alert_policy", "google_monitoring_uptime_check_config", "google_pubsub_subscription",
		"google_pubsub_topic", "google_secret_manager_secret", "google_storage_bucket",
	})
}

// Two installations in one project have no resource with the same identity.
func TestInstallationsShareNoName(t *testing.T) {
	eachShape(t, func(t *testing.T, s shape, p plan) {
		named, of := make(map[string]string), make(map[string]int)
		for _, r := range p.Resources {
			if r.Mode != "managed" || r.Type == "google_project_service" || strings.Contains(r.Type, "_iam_") || strings.HasPrefix(r.Type, "terraform_") {
				continue
			}
			identity := identity(t, r)
			if other := named[identity]; other != "" {
				t.Errorf("%s and %s have the same identity: %.200s", other, r.Address, identity)
			}
			named[identity] = r.Address
			if key := regexp.MustCompile(`^module\.geminihook\["([a-z-]+)"\]`).FindStringSubmatch(r.Address); key != nil {
				of[key[1]]++
			}
		}
		if len(s.names) == 2 && (len(of) != 2 || of["hooks"] != of["hooks-eu"] || of["hooks"] < 40) {
			t.Errorf("resources: %v", of)
		}
	})
}
