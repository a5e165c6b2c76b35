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

// front returns the handler for serve's address. It routes to the public functions, to
// the stand-in for the Gemini API, and to the page. A POST to any other path is
// answered 404, logged, and shown on the page: the sender probably has a wrong URL.
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

// noFunction answers 404 and logs the request in the form of a function's delivery
// line.
func noFunction(log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		_, _ = io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, maxLost)) // the page records it
		why := "no function is at this path, only at " + staticPath + " and " + dynamicPath
		http.Error(w, why, http.StatusNotFound)
		log.WarnContext(r.Context(), "delivery", "outcome", "no_function", "status", http.StatusNotFound,
			"latency_ms", float64(time.Since(start).Microseconds())/1000, "error", fmt.Sprintf("%s: %.200q", why, r.URL.Path))
	})
}

// maxLost bounds the body, in bytes, of a request to no function. It is the functions'
// own limit.
const maxLost = 1 << 20

// forwarded are the headers that httputil.ReverseProxy removes. A tunnel in front of
// serve may set them, so proxy copies them.
var forwarded = []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"}

// proxy forwards requests to the function unchanged: path, query, body, and all headers
// except hop-by-hop ones. It does not cancel a request if the sender disconnects,
// because a deployed function finishes it, too.
func (f *function) proxy(faults *log.Logger) http.Handler {
	proxy := httputil.ReverseProxy{
		ErrorLog: faults,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", f.instance.Addr
			r.Out.URL.RawQuery = r.In.URL.RawQuery // ReverseProxy drops unparsable parameters
			for _, name := range forwarded {
				if values, ok := r.In.Header[name]; ok {
					r.Out.Header[name] = values
				}
			}
		},
		Transport: &http.Transport{
			DisableCompression:  true, // else it adds Accept-Encoding: gzip
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

// A body is a request body that records whether reading it failed.
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

// failed answers if the request could not be forwarded. An incomplete body cannot be
// forwarded as such, so failed answers 400, as the function does. Any other failure is
// serve's own, and is answered 503 so that the sender retries.
func (b *body) failed(w http.ResponseWriter, _ *http.Request, _ error) {
	status := http.StatusServiceUnavailable
	if b.broke.Load() {
		status = http.StatusBadRequest
	}
	http.Error(w, http.StatusText(status), status)
}
