package serve

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/geminihook/geminihook/shared/gcptest/cloudrun"

	// These packages register the functions when they are imported.
	_ "github.com/geminihook/geminihook/functions/dynamic"
	_ "github.com/geminihook/geminihook/functions/reconcile"
	_ "github.com/geminihook/geminihook/functions/static"
)

// reconcileName is the private function. Only serve calls it; when it is deployed, only
// Cloud Scheduler may call it.
const reconcileName = "Reconcile"

// The paths of the public functions on serve's address.
const (
	staticPath  = "/StaticWebhook"
	dynamicPath = "/DynamicWebhook"
)

const (
	// startTimeout bounds the start of all functions, first answers included.
	startTimeout = 10 * time.Second

	// probeID is the execution id of serve's own requests. Their log lines are not
	// shown.
	probeID = "serve-probe"
)

// A function is one Cloud Function. It runs as it is deployed: in its own process, with
// its own environment.
type function struct {
	name     string             // FUNCTION_TARGET; also the path of a public function
	endpoint string             // as the log and the ledger name it
	env      []string           // NAME=value
	output   *output            // shows standard output and standard error
	instance *cloudrun.Instance // nil before the start
}

func newFunction(name, endpoint string, c *console, env []string) *function {
	return &function{name: name, endpoint: endpoint, env: env, output: &output{show: c.log}}
}

// private reports whether the function has no path on serve's address.
func (f *function) private() bool { return f.name == reconcileName }

// functions are all functions of serve.
type functions []*function

// reconcile returns the private function.
func (fs functions) reconcile() *function {
	return fs[slices.IndexFunc(fs, (*function).private)]
}

// start starts the functions in parallel and returns when all are built and answer. If
// one fails, start kills all of them and returns its error.
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
	// The function builds itself on its first request. A GET is answered 405 once it is
	// built, and 503 if it cannot be.
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
		return fmt.Errorf("a GET was answered %d, want 405: see the function's log lines above", resp.StatusCode)
	}
	return nil
}

// ended returns a channel that receives each function when its process ends.
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

// stop sends SIGTERM to the functions, as Cloud Run does, and waits until each has
// finished its requests and ended. Functions that run when ctx is done are killed, and
// stop returns an error.
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

// kill kills the functions that run, without waiting for their requests.
func (fs functions) kill() {
	for _, f := range fs {
		if f.instance != nil {
			f.instance.Kill()
		}
	}
}
