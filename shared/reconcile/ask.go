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

// askJobs asks the API for the registered jobs that are due and not delivered, and draws
// the conclusions.
func (p *pass) askJobs(ctx context.Context) {
	var ask []*work
	for _, w := range p.work {
		switch {
		case w.job == nil:
		case w.next.State != jobs.StateOpen: // not a job of ours
		case w.unknown:
			p.Pending++
		case isDelivered(w.kind, w.records):
			p.Delivered++
			if !p.unnoted[w.kind] { // else its records are to be read once more
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

// askAll asks the API for jobs, until too many calls in a row have failed, and returns
// the error of each.
func (p *pass) askAll(ctx context.Context, ask []*work) map[*work]error {
	// If the time is over before all were asked for, others come first in the next pass.
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

var errNotAsked = errors.New("not asked for in this pass")

// counted returns the errors that say nothing about the job at hand.
func counted(err error) error {
	if isMiss(err) {
		return nil
	}
	return err
}

// isMiss reports whether the API answered that it does not show a job.
func isMiss(err error) bool {
	status := gemini.Status(err)
	return status == http.StatusNotFound || status == http.StatusForbidden
}

// ask asks the API for a registered job. A panic over one job's answer is that job's
// failure.
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
