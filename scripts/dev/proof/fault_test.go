package proof

import (
	"context"
	"syscall"
	"time"

	"github.com/geminihook/geminihook/shared/gcptest/proxy"
)

// A fault is a failure at a step.
type fault struct {
	name string

	// call makes the fault occur at a call. apply forwards the call to the server. The
	// function gets the error that call returns.
	call func(c *cell, ctx context.Context, apply func() error) error

	// lasts makes the fault occur at every call of the step until the sender has its
	// answer.
	lasts bool

	// idles leaves all connections idle before the fault, long enough for keepalive.
	idles bool

	// mostRefused bounds the attempts that fail before an instance opens a new
	// connection. 0 means no bound.
	mostRefused int

	// idle makes the fault occur between two deliveries. It is nil if that is
	// impossible.
	idle func(c *cell)

	// answer makes the fault occur at the answer, which the sender does not get. It is
	// nil if that is impossible.
	answer func(c *cell)
}

// The faults, in the table's order. A concurrent duplicate arrives during the fault:
// after the server has acted if the fault is after that, else before.
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
		return proxy.Refuse() // does not reach the function
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

// freezeTime is longer than each of the function's deadlines at the step. After the
// claim, it is shorter than the lease.
func (c *cell) freezeTime() time.Duration {
	if c.step.atStart {
		return warmUpFreeze
	}
	return c.times.process + c.times.end + (c.times.lease-c.times.process-c.times.end)/4
}

const (
	// margin is the time by which an owner exceeds its lease. It is enough for another
	// owner to take over, publish and mark.
	margin = time.Second

	// idleTime is longer than the idle time after which keepalive pings a connection.
	idleTime = 12 * time.Second

	// warmUpFreeze is longer than the timeout of a warm-up.
	warmUpFreeze = 11 * time.Second

	// leastDeadline is the shortest deadline during a request, that of a refresh.
	leastDeadline = 2 * time.Second

	// noticed is enough time for a process to notice a signal or a closed connection.
	noticed = 30 * time.Millisecond
)
