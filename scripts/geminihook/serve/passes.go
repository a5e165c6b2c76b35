package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// passTimeout bounds the wait for a pass: more than one takes, and more than the
// function's timeout where it is deployed.
const passTimeout = 3 * time.Minute

// passes calls the reconciler, as Cloud Scheduler does: one pass at a time. It may be used
// concurrently.
type passes struct {
	stop     context.Context // no pass is waited for once it is done
	function *function
	turn     chan struct{} // holds one while no pass is under way
}

func newPasses(stop context.Context, f *function) *passes {
	p := &passes{stop: stop, function: f, turn: make(chan struct{}, 1)}
	p.turn <- struct{}{}
	return p
}

// every asks for a pass each interval until serve ends. Zero means never.
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
			_ = p.run(p.stop) // its line in the log says what went wrong
		}
	}
}

// run waits for the pass that is under way, if there is one, and makes another. It fails if
// that was not complete.
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
		return errors.New("the pass was not complete: the log says why")
	}
	return nil
}
