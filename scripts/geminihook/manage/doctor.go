package manage

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"google.golang.org/api/googleapi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/geminihook/geminihook/scripts/internal/terminal"
)

// checkTimeout bounds each check. All checks run concurrently.
const checkTimeout = 30 * time.Second

// A check is one line of doctor.
type check struct {
	name string
	role string                                            // the roles that the caller needs; may be empty
	look func(context.Context) (finding string, err error) // makes the check
}

// errTodo returns the error of a failed check, with the next step.
func errTodo(next, format string, args ...any) error {
	return &failure{err: fmt.Errorf(format, args...), next: next}
}

// Doctor checks everything between the Gemini API and the topics, without changing it.
// It returns terminal.ErrReported if a check failed. If Job is set, Doctor starts a job
// instead and reports how its event is delivered.
func (inv *Invocation) Doctor(ctx context.Context) error {
	if inv.Job {
		return inv.testJob(ctx)
	}
	checks := inv.checks(ctx)
	outcomes := make([]chan outcome, len(checks))
	for i, c := range checks {
		outcomes[i] = make(chan outcome, 1)
		go func() { outcomes[i] <- c.run(ctx) }()
	}
	bad := 0
	for i, c := range checks {
		o := <-outcomes[i]
		if !o.ok {
			bad++
		}
		inv.report(c, o)
	}
	if bad == 0 {
		return nil
	}
	if !inv.JSON {
		fmt.Fprintf(inv.Out, "\n%d of %d checks failed\n", bad, len(checks))
	}
	return terminal.ErrReported
}

// report writes the outcome of a check.
func (inv *Invocation) report(c check, o outcome) {
	if inv.JSON {
		inv.line(struct {
			Check string `json:"check"`
			OK    bool   `json:"ok"`
			Text  string `json:"text"`
		}{c.name, o.ok, o.text})
		return
	}
	fmt.Fprintf(inv.Out, "%s %-18s %s\n", inv.mark(o.ok), c.name, o.text)
}

// mark returns ✓ or ✗.
func (inv *Invocation) mark(ok bool) string {
	if ok {
		return inv.Paint.In(terminal.Green, "✓")
	}
	return inv.Paint.In(terminal.Red, "✗")
}

// An outcome is the result of a check: the finding, or the error with the next step.
type outcome struct {
	ok   bool
	text string
}

// run makes the check.
func (c check) run(ctx context.Context) outcome {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	finding, err := c.look(ctx)
	var f *failure
	switch {
	case err == nil:
		return outcome{true, finding}
	case errors.As(err, &f):
		return outcome{false, fmt.Sprintf("%v → %s", err, f.next)}
	case forbidden(err):
		return outcome{false, fmt.Sprintf("%v → to check this, you need %s", short(err), c.role)}
	case errors.Is(err, context.DeadlineExceeded):
		return outcome{false, fmt.Sprintf("no answer within %v", checkTimeout)}
	}
	return outcome{false, short(err).Error()}
}

// forbidden reports whether err means that the caller lacks a permission.
func forbidden(err error) bool {
	var answer *googleapi.Error
	return errors.As(err, &answer) && answer.Code == http.StatusForbidden || status.Code(err) == codes.PermissionDenied
}

// A deployment gives the checks their data. The webhook and the versions of the
// secrets, which several checks need, are fetched once.
type deployment struct {
	*Invocation
	webhook func() (*geminiWebhook, error)
	signing func() ([]version, error)
	tokens  func() ([]version, error)
}

// deployment returns the deployment of the invocation. It makes no calls yet.
func (inv *Invocation) deployment(ctx context.Context) *deployment {
	return &deployment{
		Invocation: inv,
		webhook: once(ctx, func(ctx context.Context) (*geminiWebhook, error) {
			_, w, err := inv.webhook(ctx)
			return w, err
		}),
		signing: once(ctx, inv.enabledVersions("signing_secret_name")),
		tokens:  once(ctx, inv.enabledVersions("url_token_secret_name")),
	}
}

// once returns a function that calls fetch once and keeps its result. It is safe for
// concurrent use.
func once[T any](ctx context.Context, fetch func(context.Context) (T, error)) func() (T, error) {
	return sync.OnceValues(func() (T, error) {
		ctx, cancel := context.WithTimeout(ctx, checkTimeout)
		defer cancel()
		return fetch(ctx)
	})
}

// enabledVersions returns a function that lists the enabled versions of the secret that
// an output names.
func (inv *Invocation) enabledVersions(secret string) func(context.Context) ([]version, error) {
	return func(ctx context.Context) ([]version, error) {
		s, err := inv.secretStore(ctx, inv.Values[secret])
		if err != nil {
			return nil, err
		}
		return s.versions(ctx)
	}
}
