package jwks

import (
	"net/http/httptest"
	"testing"

	"github.com/geminihook/geminihook/shared/gcptest/proxy"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// A fetch succeeds even if the previous fetch's connection has silently died.
func TestDeadConnection(t *testing.T) {
	server := httptest.NewUnstartedServer(webhooktest.NewKeySet())
	listener := proxy.NewListener(server.Listener)
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	keys := open(server.URL)
	for range 3 {
		if _, err := keys.Fetch(t.Context()); err != nil {
			t.Fatal(err)
		}
		listener.Forget()
	}
}
