package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// passTimeout bounds the wait for a pass, including the wait for an earlier one. It is
// longer than the deployed function's timeout.
const passTimeout = 3 * time.Minute

// passes calls the reconciler as Cloud Scheduler does, one pass at a time. It is safe
// for concurrent use.
type passes struct {
	stop     context.Context // when it is done, waits for a pass end
	function *function
	turn     chan struct{} // full while no pass runs
}

func newPasses(stop context.Context, f *function) *passes {
	p := &passes{stop: stop, function: f, turn: make(chan struct{}, 1)}
	p.turn <- struct{}{}
	return p
}

// every runs a pass each interval until serve ends. If interval is zero, it returns at
// once.
func (p *passes) every(interval time.Duration) {
	if interval == 0 {
		return
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-p.stop.Done():
			return
		case <-tick.C:
			_ = p.run(p.stop) // the function logs the cause of a failed pass
		}
	}
}

// run waits for a pass that is under way, if any, and then runs another. It returns an
// error if that pass was incomplete, or if ctx or serve ended first.
func (p *passes) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, passTimeout)
	defer cancel()
	defer context.AfterFunc(p.stop, cancel)()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-p.turn:
	}
	defer func() { p.turn <- struct{}{} }()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.function.instance.Addr, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("reconcile: %w", err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New("the pass was incomplete: see the log for the cause")
	}
	return nil
}
