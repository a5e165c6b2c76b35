package proof

import (
	"context"
	"syscall"
	"time"

	"github.com/geminihook/geminihook/shared/embedded/proxy"
)

// A fault is something that goes wrong at a step.
type fault struct {
	name string

	// call does it to a call on the wire. apply has the server act. The error is what
	// the function learns.
	call func(c *cell, ctx context.Context, apply func() error) error

	// lasts is set where it befalls every call of the step until the sender has its
	// answer.
	lasts bool

	// stalls is set where the function stands still meanwhile.
	stalls bool

	// answer does it to the answer, which the sender then does not get. It is nil
	// where that cannot be.
	answer func(c *cell)
}

// The faults, in the table's order. At each a concurrent duplicate arrives at its
// most telling moment: before the server acts, or, where it acts, after.
var (
	refused = &fault{name: "refused", lasts: true, call: func(c *cell, _ context.Context, _ func() error) error {
		c.meet()
		return proxy.Refuse()
	}}
	requestLost = &fault{name: "request lost", call: func(c *cell, ctx context.Context, _ func() error) error {
		c.meet()
		return proxy.Hang(ctx)
	}}
	replyLost = &fault{name: "reply lost", call: func(c *cell, _ context.Context, apply func() error) error {
		_ = apply()
		c.meet()
		return proxy.Refuse()
	}, answer: func(*cell) {}}
	late = &fault{name: "late", call: func(c *cell, ctx context.Context, apply func() error) error {
		c.meet()
		<-ctx.Done()
		return apply()
	}}
	pastLease = &fault{name: "past lease", call: func(c *cell, ctx context.Context, apply func() error) error {
		c.meet()
		<-ctx.Done()
		time.Sleep(c.times.lease + margin)
		return apply()
	}, answer: func(c *cell) { time.Sleep(c.times.lease + margin) }}
	killedBefore = &fault{name: "killed before", call: func(c *cell, ctx context.Context, _ func() error) error {
		c.meet()
		c.kill()
		return proxy.Hang(ctx)
	}}
	killedAfter = &fault{name: "killed after", call: func(c *cell, _ context.Context, apply func() error) error {
		err := apply()
		c.meet()
		c.kill()
		return err
	}, answer: (*cell).kill}
	terminated = &fault{name: "SIGTERM", call: func(c *cell, _ context.Context, apply func() error) error {
		c.meet()
		c.terminate()
		time.Sleep(noticed)
		return apply()
	}, answer: (*cell).terminate}
	hungUp = &fault{name: "hung up", call: func(c *cell, _ context.Context, apply func() error) error {
		c.meet()
		c.victim.hang()
		time.Sleep(noticed)
		return apply()
	}}
	stalled = &fault{name: "stalled", stalls: true, call: func(c *cell, _ context.Context, apply func() error) error {
		err := apply()
		c.victim.instance.Signal(syscall.SIGSTOP)
		c.meet()
		time.Sleep(c.times.lease + margin)
		c.victim.instance.Signal(syscall.SIGCONT)
		return err
	}}
	faults = []*fault{refused, requestLost, replyLost, late, pastLease, killedBefore, killedAfter, terminated, hungUp, stalled}
)

const (
	// margin is by how much a lease is overstayed. In it another owner takes over,
	// publishes and marks.
	margin = time.Second

	// noticed is how long a process has to notice a signal, or a closed connection.
	noticed = 30 * time.Millisecond
)
