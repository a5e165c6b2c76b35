package serve

import (
	"context"
	"log/slog"
	"net"
	"os"
	"strings"

	"cloud.google.com/go/firestore"

	"github.com/geminihook/geminihook/scripts/geminihook/serve/inspector"
	"github.com/geminihook/geminihook/scripts/internal/running"
	"github.com/geminihook/geminihook/shared/dial"
	"github.com/geminihook/geminihook/shared/jwks"
	"github.com/geminihook/geminihook/shared/webhook"
)

// collection is the Firestore collection that the functions write records to by
// default.
const collection = "deliveries"

// inspect returns the page. The page verifies deliveries with the functions' keys, and
// reads the records that the functions write.
func inspect(ctx context.Context, o *Options, p *parts, me *running.Serve, c *console) (*inspector.Inspector, error) {
	os.Setenv("FIRESTORE_EMULATOR_HOST", p.firestore) // a value from the shell would override the options
	client, err := firestore.NewClient(ctx, project, dial.Options()...)
	if err != nil {
		return nil, err
	}
	p.stops = append(p.stops, func() { client.Close() })
	audiences := strings.FieldsFunc(me.Audience, func(r rune) bool { return r == ',' || r == ' ' })
	checks, err := newChecks(o, p, audiences)
	if err != nil {
		return nil, err
	}
	host, _, _ := net.SplitHostPort(o.Addr) // valid: serve listens on it
	return &inspector.Inspector{
		Deliveries: c.deliveries,
		Checks:     checks,
		Records:    &inspector.Records{Collection: client.Collection(collection)},
		Sender: &inspector.Sender{
			StaticURL: me.StaticURL, DynamicURL: me.DynamicURL,
			Secret: o.Secrets[0], Audience: first(audiences), Keys: p.keys,
		},
		Jobs: &inspector.Jobs{API: p.gemini, Webhook: me.StaticURL, For: o.JobTime, Passes: c.passes},
		Host: host,
	}, nil
}

func newChecks(o *Options, p *parts, audiences []string) (c *inspector.Checks, err error) {
	c = &inspector.Checks{Audiences: audiences}
	if c.Static, err = inspector.Versions("signing secret", o.Secrets, webhook.ParseSigningKey); err != nil {
		return nil, err
	}
	stored := &inspector.Stored{List: p.signingSecrets} // register and rotate add versions
	c.Static.Ring, c.Static.Name = stored, stored.Name
	if c.Tokens, err = inspector.Versions("URL token", o.Tokens, webhook.ParseURLToken); err != nil {
		return nil, err
	}
	url, err := jwks.ParseURL(p.jwksURL)
	if err != nil {
		return nil, err
	}
	c.Dynamic = inspector.PublicKeys(jwks.Open(url, slog.New(slog.DiscardHandler)))
	return c, nil
}

// first returns the first text, or "" if the list is empty. Without an audience, the
// function rejects every JWT.
func first(texts []string) string {
	if len(texts) == 0 {
		return ""
	}
	return texts[0]
}
