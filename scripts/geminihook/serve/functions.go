package serve

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"

	// The functions register themselves.
	_ "github.com/geminihook/geminihook/functions/dynamic"
	_ "github.com/geminihook/geminihook/functions/static"
)

// Where the framework serves the functions.
const (
	staticPath  = "/StaticWebhook"
	dynamicPath = "/DynamicWebhook"
)

const (
	startTimeout = 10 * time.Second
	pollEvery    = 5 * time.Millisecond

	// probeID marks our own requests in the functions' log, where they are left out.
	probeID = "serve-probe"
)

// startFunctions serves the functions under the framework, which shows neither its
// handler nor its port, and returns where they are once both are built and answer.
func startFunctions(ctx context.Context) (*url.URL, error) {
	host, port, err := freePort()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("the functions do not answer after %v", startTimeout))
	defer cancel()
	failed := make(chan error, 1)
	go func() { failed <- funcframework.StartHostPort(host, port) }()

	base := &url.URL{Scheme: "http", Host: net.JoinHostPort(host, port)}
	for _, path := range []string{staticPath, dynamicPath} {
		if err := waitFor(ctx, base.JoinPath(path).String(), failed); err != nil {
			return nil, err
		}
	}
	return base, nil
}

// freePort returns a port that nobody listens on at the moment.
func freePort() (host, port string, err error) {
	listener, err := net.Listen("tcp", anyPort)
	if err != nil {
		return "", "", err
	}
	defer listener.Close()
	return net.SplitHostPort(listener.Addr().String())
}

// waitFor returns when the function at url is built, which its first request does.
func waitFor(ctx context.Context, url string, failed <-chan error) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		status, err := probe(ctx, url)
		switch {
		case err == nil && status == http.StatusMethodNotAllowed:
			return nil
		case err == nil:
			return fmt.Errorf("%s answers %d to a GET, not 405: see its log", url, status)
		}
		select {
		case <-tick.C:
		case err := <-failed:
			return fmt.Errorf("functions framework: %w", err)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// probe asks a function in a way that it refuses.
func probe(ctx context.Context, url string) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Function-Execution-Id", probeID)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	resp.Body.Close()
	return resp.StatusCode, nil
}
