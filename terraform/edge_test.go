package terraform

import (
	"fmt"
	"strings"
	"testing"
)

// With urls, the receivers accept requests from a load balancer only, and the settings
// contain its URLs.
func TestBehindTheEdge(t *testing.T) {
	p := planned(t, "behind_the_edge")
	for name, ingress := range map[string]string{
		"static": "ALLOW_INTERNAL_AND_GCLB", "dynamic": "ALLOW_INTERNAL_AND_GCLB", "reconcile": "ALLOW_INTERNAL_ONLY",
	} {
		config := p.function(t, "geminihook-"+name).block("service_config")
		if config["ingress_settings"] != ingress {
			t.Errorf("%s: ingress %v", name, config["ingress_settings"])
		}
		for setting, url := range map[string]string{"JWT_AUDIENCES": "dynamic", "STATIC_URL": "static", "DYNAMIC_URL": "dynamic"} {
			value, ok := config["environment_variables"].(map[string]any)[setting]
			if ok && value != "https://hooks.example.com/"+url {
				t.Errorf("%s: %s is %v", name, setting, value)
			}
		}
	}
	for _, check := range p.of("google_monitoring_uptime_check_config") {
		labels, _ := check.block("monitored_resource")["labels"].(map[string]any)
		path := fmt.Sprint(check.block("http_check")["path"])
		if labels["host"] != "hooks.example.com" || !strings.HasSuffix(check.text("display_name"), "-"+strings.TrimPrefix(path, "/")) {
			t.Errorf("%s requests %v%s", check.Address, labels["host"], path)
		}
	}
}
