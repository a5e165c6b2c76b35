package reconcile

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"

	"github.com/geminihook/geminihook/shared/gemini"
	"github.com/geminihook/geminihook/shared/jobs"
)

// askJobs calls the API for the registered jobs that are due and not delivered, and
// settles all that are due.
func (p *pass) askJobs(ctx context.Context) {
	var ask []*work
	for _, w := range p.work {
		switch {
		case w.job == nil:
		case w.next.State != jobs.StateOpen: // closed by readJobs: no valid name
		case w.unknown:
			p.Pending++
		case isDelivered(w.kind, w.records):
			p.Delivered++
			if !p.unnoted[w.kind] { // else the next pass must read its records again
				w.next.State = jobs.StateClosed
			}
		default:
			ask = append(ask, w)
		}
	}
	errs := p.askAll(ctx, ask)
	for _, err := range errs {
		p.answered = p.answered || err == nil
	}
	for _, w := range ask {
		p.guard(ctx, "settle", func() { p.settleJob(ctx, w, errs[w]) })
	}
}

// askAll calls the API for each of these jobs, until maxFailures consecutive calls
// have failed or the time is over. It returns the error of each job: nil after an
// answer, errNotAsked if no call was made.
func (p *pass) askAll(ctx context.Context, ask []*work) map[*work]error {
	// The order is random. If the time is over before all calls are made, each job
	// has a chance in the next pass.
	rand.Shuffle(len(ask), func(i, j int) { ask[i], ask[j] = ask[j], ask[i] })
	errs := make(map[*work]error, len(ask))
	var (
		mu    sync.Mutex
		count errorCount
	)
	each(ask, func(w *work) {
		err := errNotAsked
		if !count.enough() && ctx.Err() == nil {
			err = p.ask(ctx, w)
			count.add(counted(err))
		}
		mu.Lock()
		defer mu.Unlock()
		errs[w] = err
	})
	if count.enough() {
		p.fail(ctx, "ask", fmt.Errorf("%d calls in a row failed, the last one: %w", maxFailures, count.last()))
	} else if ctx.Err() != nil && len(ask) > 0 {
		p.fail(ctx, "ask", ctx.Err())
	}
	return errs
}

// errNotAsked is the error of a job for which no call was made.
var errNotAsked = errors.New("no call was made in this pass")

// counted returns err if it is a failure of the API, and nil if it is a miss, which
// concerns one job only.
func counted(err error) error {
	if isMiss(err) {
		return nil
	}
	return err
}

// isMiss reports whether the API answered 404 or 403 about a job.
func isMiss(err error) bool {
	status := gemini.Status(err)
	return status == http.StatusNotFound || status == http.StatusForbidden
}

// ask calls the API for a registered job. A panic becomes an error, so that one job's
// answer cannot end the pass.
func (p *pass) ask(ctx context.Context, w *work) (err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			err = fmt.Errorf("panic: %v", panicked)
		}
	}()
	if w.kind == jobs.Video {
		o, err := p.API.Operation(ctx, w.name)
		if err == nil {
			w.finding = ofOperation(w.name, &o)
		}
		return err
	}
	i, err := p.API.Interaction(ctx, strings.TrimPrefix(w.name, "interactions/"))
	if err == nil {
		w.finding = ofInteraction(w.name, &i)
	}
	return err
}
