package listen

import (
	"cmp"
	"context"
	"errors"
	"os"
	"strings"

	pubsub "cloud.google.com/go/pubsub/v2/apiv1"
	"google.golang.org/api/option"

	"github.com/geminihook/geminihook/scripts/internal/pubsubclient"
	"github.com/geminihook/geminihook/scripts/internal/running"
	"github.com/geminihook/geminihook/shared/dial"
)

// emulatedProject is the default project on an emulator. serve --emulators uses the
// same.
const emulatedProject = "geminihook-local"

// A place is the Pub/Sub service that is listened to.
type place struct {
	name    string // shown to the user
	project string
	clients pubsubclient.Clients
	local   bool // an emulator or a serve; if no topic is named, all are listened to
}

// open determines the Pub/Sub service and opens clients of it.
func (o *Options) open(ctx context.Context) (*place, error) {
	p, addr, err := o.find(ctx)
	if err != nil {
		return nil, err
	}
	var opts []option.ClientOption
	if addr != "" {
		opts = dial.Emulator(addr)
	}
	if p.clients, err = pubsubclient.Open(ctx, opts...); err != nil {
		return nil, err
	}
	if p.local { // no retries: an emulator or a serve that has ended does not come back
		p.clients.Subscriptions.CallOptions, p.clients.Topics.CallOptions = new(pubsub.SubscriptionAdminCallOptions), new(pubsub.TopicAdminCallOptions)
	}
	return p, nil
}

// find returns the place, without clients, and its address as host:port, "" for Google
// Cloud. PUBSUB_EMULATOR_HOST takes precedence, then Project, then the newest serve.
func (o *Options) find(ctx context.Context) (p *place, addr string, err error) {
	if addr := os.Getenv("PUBSUB_EMULATOR_HOST"); addr != "" {
		return &place{name: "the emulator at " + addr, project: cmp.Or(o.Project, emulatedProject), local: true}, addr, nil
	}
	if o.Project != "" {
		if o.Subscription == "" && len(o.Topics) == 0 {
			return nil, "", errors.New("--project needs --topic or --subscription")
		}
		return &place{name: "project " + o.Project, project: o.Project}, "", nil
	}
	s, err := running.Newest(ctx, "--project")
	if err != nil {
		return nil, "", err
	}
	root, _, _ := strings.Cut(s.StaticURL, "/StaticWebhook")
	return &place{name: "the serve at " + root, project: s.Project, local: true}, s.PubSub, nil
}

func (p *place) close() { p.clients.Close() }
