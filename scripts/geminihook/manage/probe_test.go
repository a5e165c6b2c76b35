package manage

import (
	"strings"
	"testing"
)

func TestDeployMode(t *testing.T) {
	for to, want := range map[string]string{
		"https://us-central1-p.cloudfunctions.net/geminihook-dynamic?token=x": "fails at the grant to allUsers, your organization forbids it: deploy from images, see docs/deploy.md",
		"https://geminihook-static-123.us-central1.run.app":                   "run.managed.requireInvokerIam",
		"https://hooks.example.com/static":                                    "Cloud Armor",
		"https://evil.example/?x=.run.app":                                    "Cloud Armor",
		"%zz":                                                                 "Cloud Armor",
	} {
		if got := advice(403, to); !strings.Contains(got, want) || strings.Contains(got, "token") {
			t.Errorf("%s: %q, want %q", to, got, want)
		}
	}
}
