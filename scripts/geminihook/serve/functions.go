package serve

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/geminihook/geminihook/shared/gcptest/cloudrun"

	// The functions register themselves.
	_ "github.com/geminihook/geminihook/functions/dynamic"
	_ "github.com/geminihook/geminihook/functions/reconcile"
	_ "github.com/geminihook/geminihook/functions/static"
)

// reconcileName is the function that only serve calls, as only Cloud Scheduler may.
const reconcileName = "Reconcile"

// The paths of the other functions, on serve's address.
const (
	staticPath  = "/StaticWebhook"
	dynamicPath = "/DynamicWebhook"
)

const (
	startTimeout = 10 * time.Second

	// probeID marks our own requests in the functions' log, where they are left out.
	probeID = "serve-probe"
)

// A function is one of those that are deployed. It runs as it is deployed: in a
// process of its own, with an environment of its own.
type function struct {
	name     string // FUNCTION_TARGET and, unless it is private, its path
	endpoint string
	env      []string
	output   *output
	instance *cloudrun.Instance // nil before the start
}

func newFunction(name, endpoint string, c *console, env []string) *function {
	return &function{name: name, endpoint: endpoint, env: env, output: &output{show: c.log}}
}

// private reports whether the function has no path on serve's address.
func (f *function) private() bool { return f.name == reconcileName }

// functions are all of them.
type functions []*function

// reconcile returns the private one.
func (fs functions) reconcile() *function {
	return fs[slices.IndexFunc(fs, (*function).private)]
}

// start starts the functions side by side and returns when all are built and answer.
// If one does not, start ends all of them and fails.
func (fs functions) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("no answer within %v", startTimeout))
	defer cancel()
	all, ctx := errgroup.WithContext(ctx)
	for _, f := range fs {
		all.Go(func() error {
			if err := f.start(ctx); err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
			return nil
		})
	}
	err := all.Wait()
	if err != nil {
		fs.kill()
	}
	return err
}

func (f *function) start(ctx context.Context) (err error) {
	if f.instance, err = cloudrun.Run(ctx, f.name, f.env, f.output); err != nil {
		return err
	}
	// The first request waits until the function is built.
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+f.instance.Addr, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Function-Execution-Id", probeID)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		return fmt.Errorf("answers %d to a GET, not 405: see its log", resp.StatusCode)
	}
	return nil
}

// ended returns a channel that brings each function that has ended.
func (fs functions) ended() <-chan *function {
	ended := make(chan *function, len(fs))
	for _, f := range fs {
		go func() {
			<-f.instance.Ended()
			ended <- f
		}()
	}
	return ended
}

// stop ends the functions as the platform does: each finishes the requests that it
// has. Those that have not ended when ctx is done are killed, which is an error.
func (fs functions) stop(ctx context.Context) error {
	var all errgroup.Group
	for _, f := range fs {
		all.Go(func() error {
			if err := f.instance.Stop(ctx); err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
			return nil
		})
	}
	return all.Wait()
}

// kill ends the functions that run at once.
func (fs functions) kill() {
	for _, f := range fs {
		if f.instance != nil {
			f.instance.Kill()
		}
	}
}
