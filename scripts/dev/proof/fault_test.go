package proof

import (
	"context"
	"syscall"
	"time"

	"github.com/geminihook/geminihook/shared/gcptest/proxy"
)

// A fault is something that goes wrong at a step.
type fault struct {
	name string

	// call does it to a call on the wire. apply has the server act. The error is what
	// the function learns.
	call func(c *cell, ctx context.Context, apply func() error) error

	// lasts is set if it befalls every call of the step until the sender has its
	// answer.
	lasts bool

	// idles is set where all connections are idle before, long enough for keepalive.
	idles bool

	// mostRefused bounds how many attempts may be refused before an instance connects
	// anew; 0 is no bound.
	mostRefused int

	// idle does it to an instance between two deliveries. It is nil where that cannot be.
	idle func(c *cell)

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
		time.Sleep(c.times.lease + c.slower(margin))
		return apply()
	}, answer: func(c *cell) { time.Sleep(c.times.lease + c.slower(margin)) }}
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
		time.Sleep(c.slower(noticed))
		return apply()
	}, answer: (*cell).terminate}
	hungUp = &fault{name: "hung up", call: func(c *cell, _ context.Context, apply func() error) error {
		c.meet()
		c.victim.hang()
		time.Sleep(c.slower(noticed))
		return apply()
	}}
	stalled = &fault{name: "stalled", call: func(c *cell, _ context.Context, apply func() error) error {
		err := apply()
		c.victim.instance.Signal(syscall.SIGSTOP)
		c.meet()
		time.Sleep(c.times.lease + c.slower(margin))
		c.victim.instance.Signal(syscall.SIGCONT)
		return err
	}}
	forgotten = &fault{name: "wire forgotten", idles: true, mostRefused: 1, call: func(c *cell, ctx context.Context, _ func() error) error {
		c.project.Forget(ctx)
		c.meet()
		return proxy.Refuse() // which does not arrive
	}, idle: func(c *cell) {
		c.project.Forget(context.Background())
		c.meet()
	}}
	frozen = &fault{name: "frozen", call: func(c *cell, _ context.Context, apply func() error) error {
		err := apply()
		c.freeze(c.freezeTime())
		c.background.Go(c.thawed)
		return err
	}, idle: func(c *cell) {
		c.freeze(warmUpFreeze)
		c.background.Go(c.thawed)
	}}
	faults = []*fault{refused, requestLost, replyLost, late, pastLease, killedBefore, killedAfter, terminated, hungUp, stalled, forgotten, frozen}
)

// freezeTime is longer than each deadline that the function has at a step, and, once
// it has claimed the delivery, shorter than the lease.
func (c *cell) freezeTime() time.Duration {
	if c.step.atStart {
		return warmUpFreeze
	}
	return c.times.process + c.times.end + (c.times.lease-c.times.process-c.times.end)/4
}

const (
	// margin is by how much a lease is overstayed. In it another owner takes over,
	// publishes and marks.
	margin = time.Second

	// idleTime is how long a connection is silent before a call on it sends a ping, and
	// more.
	idleTime = 12 * time.Second

	// warmUpFreeze is longer than a warm-up may take.
	warmUpFreeze = 11 * time.Second

	// leastDeadline is the shortest deadline before an answer: that of a refresh.
	leastDeadline = 2 * time.Second

	// noticed is how long a process has to notice a signal, or a closed connection.
	noticed = 30 * time.Millisecond
)
