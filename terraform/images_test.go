package terraform

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The Cloud Run service of an image has the settings that Cloud Functions would set for
// the function.
func TestImagesAreDeployedAsFunctionsAre(t *testing.T) {
	source, images := planned(t, "defaults"), planned(t, "images")
	services := images.of("google_cloud_run_v2_service")
	if len(services) != 3 || len(images.of("google_cloudfunctions2_function")) != 0 {
		t.Fatalf("%d services", len(services))
	}
	const mode = "INGRESS_TRAFFIC_"
	for _, s := range services {
		f := source.function(t, s.text("name"))
		config, template := f.block("service_config"), s.block("template")
		container, scaling := s.block("template", "containers"), s.block("template", "scaling")
		resources := s.block("template", "containers", "resources")
		limits, _ := resources["limits"].(map[string]any)
		ingress := map[string]string{"ALLOW_ALL": mode + "ALL", "ALLOW_INTERNAL_ONLY": mode + "INTERNAL_ONLY"}[fmt.Sprint(config["ingress_settings"])]
		for what, pair := range map[string][2]any{
			"ingress":     {s.text("ingress"), ingress},
			"account":     {template["service_account"], config["service_account_email"]},
			"timeout":     {template["timeout"], fmt.Sprintf("%vs", config["timeout_seconds"])},
			"concurrency": {template["max_instance_request_concurrency"], config["max_instance_request_concurrency"]},
			"minimum":     {scaling["min_instance_count"], config["min_instance_count"]},
			"maximum":     {scaling["max_instance_count"], config["max_instance_count"]},
			"memory":      {limits["memory"], config["available_memory"]},
			"cpu":         {limits["cpu"], config["available_cpu"]},
			"idle":        {resources["cpu_idle"], true},
			"protected":   {s.Change.After["deletion_protection"], false},
		} {
			if pair[0] != pair[1] {
				t.Errorf("%s: %s is %v, want %v", s.Address, what, pair[0], pair[1])
			}
		}
		if folder := strings.TrimPrefix(s.text("name"), "geminihook-"); !strings.Contains(fmt.Sprint(container["image"]), "/"+folder+"@sha256:") {
			t.Errorf("%s runs %v", s.Address, container["image"])
		}
		var names []string
		for _, env := range container["env"].([]any) {
			names = append(names, fmt.Sprint(env.(map[string]any)["name"]))
		}
		settings := slices.Collect(maps.Keys(config["environment_variables"].(map[string]any)))
		same(t, s.Address+": settings", names, append(settings, "FUNCTION_TARGET"))
	}
}

// With images there are no resources of the build. All others are the same.
func TestImagesReplaceTheBuildOnly(t *testing.T) {
	builds := regexp.MustCompile(`\.build|\["build/|google_storage_|google_artifact_|archive_file|` +
		`google_project_service\.this\["(?:artifactregistry|cloudbuild|cloudfunctions|storage)\.|` +
		`google_cloudfunctions2_function|google_cloud_run_v2_service`)
	addresses := func(run string) (all []string) {
		for _, r := range planned(t, run).Resources {
			if !builds.MatchString(r.Address) {
				all = append(all, r.Address)
			}
		}
		return all
	}
	same(t, "resources besides the build's", addresses("images"), addresses("defaults"))
	for _, r := range planned(t, "images").Resources {
		if builds.MatchString(r.Address) && !strings.Contains(r.Address, "google_cloud_run_v2_service") {
			t.Errorf("%s exists", r.Address)
		}
	}
	var sources map[string]map[string]string
	planned(t, "images").output(t, "sources", &sources)
	for _, function := range functions {
		if sources[function]["function.go"] == "" {
			t.Errorf("%s: the outputs do not contain its source files, which cloudbuild.yaml needs", function)
		}
	}
}

// Uptime checks and the audience of JWTs use Cloud Run's URLs.
func TestURLsOfImages(t *testing.T) {
	p := planned(t, "images")
	for _, check := range p.of("google_monitoring_uptime_check_config") {
		labels, _ := check.block("monitored_resource")["labels"].(map[string]any)
		want := "https://" + check.text("display_name") + "-123456789012.us-central1.run.app/"
		if got := fmt.Sprint("https://", labels["host"], check.block("http_check")["path"]); got != want {
			t.Errorf("%s requests %s, want %s", check.Address, got, want)
		}
	}
	text := fmt.Sprint(p.of("google_cloud_run_v2_service"))
	for _, want := range []string{"JWT_AUDIENCES value:https://geminihook-dynamic-1", "STATIC_URL value:https://geminihook-static-1"} {
		if !regexp.MustCompile(`name:` + want).MatchString(text) {
			t.Errorf("no %s", want)
		}
	}
}
