package listen

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"cloud.google.com/go/pubsub/v2/apiv1"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/geminihook/geminihook/scripts/internal/running"
	"github.com/geminihook/geminihook/shared/dial"
)

// maxMessages bounds, in bytes, what one Pull may bring: maxPulled messages of
// Pub/Sub's limit would be more, and come in several.
const maxMessages = 64 << 20

// emulatedProject is the project on an emulator unless another is given: that of
// serve --emulators.
const emulatedProject = "geminihook-local"

// A place is where Pub/Sub is.
type place struct {
	name    string // for people
	project string
	topics  *pubsub.TopicAdminClient
	subs    *pubsub.SubscriptionAdminClient
	local   bool // all its topics are listened to unless some are named
}

// open finds Pub/Sub and connects to it.
func (o *Options) open(ctx context.Context) (*place, error) {
	p, addr, err := o.find(ctx)
	if err != nil {
		return nil, err
	}
	opts := append(dial.Options(), option.WithGRPCDialOption(grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessages))))
	if addr != "" {
		opts = append(opts, option.WithEndpoint(addr), option.WithoutAuthentication(),
			option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	}
	if p.topics, err = pubsub.NewTopicAdminClient(ctx, opts...); err != nil {
		return nil, fmt.Errorf("Pub/Sub: %w", err)
	}
	if p.subs, err = pubsub.NewSubscriptionAdminClient(ctx, opts...); err != nil {
		return nil, fmt.Errorf("Pub/Sub: %w", err)
	}
	if p.local { // one that has gone does not come back
		p.subs.CallOptions, p.topics.CallOptions = new(pubsub.SubscriptionAdminCallOptions), new(pubsub.TopicAdminCallOptions)
	}
	return p, nil
}

// find returns the place, not connected, and its address, empty for Google Cloud.
func (o *Options) find(ctx context.Context) (p *place, addr string, err error) {
	if addr := os.Getenv("PUBSUB_EMULATOR_HOST"); addr != "" {
		return &place{name: "the emulator at " + addr, project: cmp.Or(o.Project, emulatedProject), local: true}, addr, nil
	}
	if o.Project != "" {
		if o.Subscription == "" && len(o.Topics) == 0 {
			return nil, "", errors.New("--project: name what to listen to, with --topic or --subscription")
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

func (p *place) close() {
	p.topics.Close()
	p.subs.Close()
}
