package serve

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"sync/atomic"
	"time"

	"github.com/geminihook/geminihook/scripts/geminihook/serve/inspector"
	"github.com/geminihook/geminihook/scripts/internal/running"
	"github.com/geminihook/geminihook/shared/cloudlog"
)

// front is what serve listens with: the functions, the stand-in for the Gemini API, and
// the page that shows both. A POST to any other path is logged, and shown beside them.
func front(fs functions, instance string, page *inspector.Inspector, gemini http.Handler, out io.Writer) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/v1beta/", gemini)
	mux.Handle("/download/v1beta/", gemini)
	for _, f := range fs {
		if !f.private() {
			mux.Handle("/"+f.name, page.Watch(f.endpoint, f.proxy(log.New(out, "", 0))))
		}
	}
	shown := page.Handler()
	mux.Handle("/inspector/", shown)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(running.Header, instance)
		shown.ServeHTTP(w, r)
	})
	lost := page.Watch(inspector.NoFunction, cloudlog.Trace(project, noFunction(cloudlog.New(out))))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			lost.ServeHTTP(w, r)
			return
		}
		http.NotFound(w, r)
	})
	return mux
}

// noFunction answers a POST to a path of no function, and logs it as a function logs
// a delivery.
func noFunction(log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		_, _ = io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, maxLost)) // for the page
		why := "no function is at this path, only at " + staticPath + " and " + dynamicPath
		http.Error(w, why, http.StatusNotFound)
		log.WarnContext(r.Context(), "delivery", "outcome", "no_function", "status", http.StatusNotFound,
			"latency_ms", float64(time.Since(start).Microseconds())/1000, "error", fmt.Sprintf("%s: %.200q", why, r.URL.Path))
	})
}

// maxLost bounds, in bytes, the body of a request that is for no function: as a
// function does.
const maxLost = 1 << 20

// forwarded are headers that Go's proxy leaves out, and that a tunnel in front of serve
// may have set.
var forwarded = []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"}

// proxy passes requests on to the function as they came: path, query, headers (those of
// the connection apart) and body. The sender's hanging up ends none, as it ends none in
// the function.
func (f *function) proxy(faults *log.Logger) http.Handler {
	proxy := httputil.ReverseProxy{
		ErrorLog: faults,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", f.instance.Addr
			r.Out.URL.RawQuery = r.In.URL.RawQuery // Go would drop what it cannot parse
			for _, name := range forwarded {
				if values, ok := r.In.Header[name]; ok {
					r.Out.Header[name] = values
				}
			}
		},
		Transport: &http.Transport{
			DisableCompression:  true, // it would ask for gzip
			MaxIdleConnsPerHost: 256,
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in := &body{ReadCloser: r.Body}
		r = r.WithContext(context.WithoutCancel(r.Context()))
		r.Body = in
		p := proxy
		p.ErrorHandler = in.failed
		p.ServeHTTP(w, r)
	})
}

// A body is one on its way through, and remembers whether it broke off.
type body struct {
	io.ReadCloser
	broke atomic.Bool
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		b.broke.Store(true)
	}
	return n, err
}

// failed answers where the function could not. A body that broke off cannot be
// passed on as such, so its answer is given here: the one that the function gives.
// All else is a fault of ours, and looks retryable.
func (b *body) failed(w http.ResponseWriter, _ *http.Request, _ error) {
	status := http.StatusServiceUnavailable
	if b.broke.Load() {
		status = http.StatusBadRequest
	}
	http.Error(w, http.StatusText(status), status)
}
