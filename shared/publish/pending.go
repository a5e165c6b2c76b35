package publish

import (
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/grpc/codes"
)

// A pending is a message that is being published. It is safe for concurrent use.
type pending struct {
	message *pubsubpb.PubsubMessage

	mu        sync.Mutex
	failed    int  // attempts that may have published the message although they failed
	abandoned bool // its caller no longer waits
}

// abandon ends the retries of the message, and returns the attempts that may have
// published it or may still do so: one may be under way.
func (p *pending) abandon() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.abandoned = true
	return p.failed + 1
}

// fail counts an attempt that failed, and reports whether the message is abandoned.
func (p *pending) fail() (abandoned bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed++
	return p.abandoned
}

// forgive sets the failures to zero: none of them published the message.
func (p *pending) forgive() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed = 0
}

func (p *pending) failures() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed
}

// A retryer retries a call as Google's client does, and counts the failures of its
// messages. It makes no further attempt if one of them is abandoned: its caller could not
// know of a copy that this attempt publishes.
type retryer struct {
	gax.Retryer
	messages  []*pending
	abandoned bool
}

func newRetryer(messages []*pending) *retryer {
	return &retryer{messages: messages, Retryer: gax.OnCodes(retryable, gax.Backoff{
		Initial:    50 * time.Millisecond,
		Max:        time.Second,
		Multiplier: 2,
	})}
}

// Retry implements [gax.Retryer].
func (r *retryer) Retry(err error) (time.Duration, bool) {
	abandoned := false
	for _, p := range r.messages {
		abandoned = p.fail() || abandoned
	}
	pause, again := r.Retryer.Retry(err)
	r.abandoned = again && abandoned
	return pause, again && !abandoned
}

// retryable is the list of codes after which Google's client retries a Publish, without
// those that only our own context can cause.
var retryable = []codes.Code{
	codes.Aborted, codes.Internal, codes.ResourceExhausted, codes.Unknown, codes.Unavailable,
}
