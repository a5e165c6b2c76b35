// Package inspector is serve's web page. It lists deliveries as they arrive. For each
// delivery it shows the checks and their results, the cause of a rejection, the record
// in Firestore, and the published message. Its buttons send samples and start jobs. The
// package is not part of any deployed function.
package inspector

import (
	"bytes"
	"embed"
	"encoding/json"
	"html/template"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// An Inspector serves the page. Its fields are required, except Host, and must not be
// changed after the first call to Handler or Watch.
type Inspector struct {
	Deliveries *Deliveries
	Checks     *Checks
	Records    *Records
	Sender     *Sender
	Jobs       *Jobs

	// Host is the host that serve listens on; "" means all addresses. If it is a
	// loopback address, the page is shown to this machine only.
	Host string
}

//go:embed assets
var assets embed.FS

var pages = template.Must(template.ParseFS(assets, "assets/*.html"))

// writeTimeout bounds the time to send one event to a page.
const writeTimeout = 10 * time.Second

// maxForm bounds the body of a button's request, in bytes.
const maxForm = 4 << 10

// policy is the Content-Security-Policy. The page loads only serve's own scripts,
// styles and images, and no inline script, because it shows the contents of deliveries.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Handler returns the handler for the page at / and for its assets and requests below
// /inspector/.
func (in *Inspector) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", in.page)
	for _, name := range []string{"style.css", "script.js", "icon.svg"} {
		mux.HandleFunc("GET /inspector/"+name, func(w http.ResponseWriter, r *http.Request) {
			http.ServeFileFS(w, r, assets, "assets/"+name)
		})
	}
	mux.HandleFunc("GET /inspector/events", in.events)
	mux.HandleFunc("GET /inspector/deliveries/{id}", in.delivery)
	mux.HandleFunc("POST /inspector/deliveries/{id}/again", in.again)
	mux.HandleFunc("POST /inspector/samples", in.sample)
	mux.HandleFunc("GET /inspector/jobs", in.Jobs.list)
	mux.HandleFunc("POST /inspector/jobs", in.Jobs.start)
	mux.HandleFunc("POST /inspector/jobs/lose", in.Jobs.lose)
	mux.HandleFunc("POST /inspector/webhook", in.Jobs.turn)
	mux.HandleFunc("POST /inspector/reconcile", in.Jobs.reconcile)
	return in.guard(http.NewCrossOriginProtection().Handler(mux))
}

// guard rejects requests that must not see the page. With DNS rebinding, another web
// page's host name could resolve to this address; the Host header shows that. A tunnel
// for deliveries would make the page public; its forwarding headers show that.
func (in *Inspector) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if !in.allowed(r) {
			http.Error(w, "This page is available only on the machine that runs serve: open it at 127.0.0.1 or localhost.", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (in *Inspector) allowed(r *http.Request) bool {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	local := host == "localhost"
	ip, err := netip.ParseAddr(trimBrackets(host))
	local = local || err == nil && ip.IsLoopback()
	if in.onLoopback() {
		return local && r.Header.Get("Forwarded") == "" && r.Header.Get("X-Forwarded-For") == ""
	}
	return local || err == nil || host == in.Host
}

func trimBrackets(host string) string {
	if len(host) > 1 && host[0] == '[' && host[len(host)-1] == ']' {
		return host[1 : len(host)-1]
	}
	return host
}

func (in *Inspector) onLoopback() bool {
	ip, err := netip.ParseAddr(in.Host)
	return in.Host == "localhost" || err == nil && ip.IsLoopback()
}

func (in *Inspector) page(w http.ResponseWriter, _ *http.Request) {
	render(w, "page.html", map[string]any{
		"Types":   webhooktest.Types,
		"Samples": samples,
		"CanSign": in.Sender.Keys != nil,
		"NoKeys":  errNoKeys.Error(),
		"Kept":    maxKept,
	})
}

// render executes a template and writes the result, or answers 500 if that fails.
func render(w http.ResponseWriter, name string, data any) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, data); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = b.WriteTo(w) // fails only if the browser has disconnected
}

// events streams server-sent events until the page or serve is closed.
func (in *Inspector) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	connection := http.NewResponseController(w)
	events := in.Deliveries.open()
	defer in.Deliveries.leave(events)
	for {
		select {
		case event, ok := <-events:
			if !ok {
				return
			}
			_ = connection.SetWriteDeadline(time.Now().Add(writeTimeout))
			if _, err := w.Write(event); err != nil || connection.Flush() != nil {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}

// delivery answers with the detail of one delivery.
func (in *Inspector) delivery(w http.ResponseWriter, r *http.Request) {
	if d := in.named(w, r); d != nil {
		render(w, "delivery.html", in.view(r, d))
	}
}

// named returns the delivery with the path's id. If it is not in memory, named answers
// 404 and returns nil.
func (in *Inspector) named(w http.ResponseWriter, r *http.Request) *delivery {
	id, _ := strconv.ParseInt(r.PathValue("id"), 10, 64) // 0 if invalid; no delivery has id 0
	d := in.Deliveries.find(id)
	if d == nil {
		http.Error(w, "This delivery is no longer in memory.", http.StatusNotFound)
	}
	return d
}

// again replays a delivery.
func (in *Inspector) again(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Anew bool `json:"anew"`
	}
	if d := in.named(w, r); d != nil && read(w, r, &asked) {
		say(w, in.Sender.again(r.Context(), d, asked.Anew))
	}
}

// sample sends a sample.
func (in *Inspector) sample(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Name   string         `json:"name"`
		Type   string         `json:"type"`
		Scheme webhook.Scheme `json:"scheme"`
	}
	if read(w, r, &asked) {
		say(w, in.Sender.send(r.Context(), asked.Name, asked.Type, asked.Scheme))
	}
}

// read decodes the JSON body of a button's request. If it is invalid, read answers 400
// and returns false.
func read(w http.ResponseWriter, r *http.Request, to any) bool {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
	if err != nil || json.Unmarshal(text, to) != nil {
		http.Error(w, "The request's body is not valid JSON for this button.", http.StatusBadRequest)
		return false
	}
	return true
}

// say answers 204 if err is nil, else 422 with the error's text.
func say(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
