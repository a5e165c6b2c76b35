// Package inspector is the page of serve: deliveries live as they come, what each
// was held against and why it was refused, its record in the ledger, its message,
// and buttons that send samples. It is no part of any deployed function.
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

// An Inspector is the page. Its fields are not to be changed in use.
type Inspector struct {
	Deliveries *Deliveries
	Checks     *Checks
	Records    *Records
	Sender     *Sender
	Jobs       *Jobs

	// Host is what serve was told to listen on: "" for all addresses. On loopback
	// nobody but this machine is to see the page.
	Host string
}

//go:embed assets
var assets embed.FS

var pages = template.Must(template.ParseFS(assets, "assets/*.html"))

// writeTimeout bounds how long a page may take to read an event.
const writeTimeout = 10 * time.Second

// maxForm bounds, in bytes, what a button sends.
const maxForm = 4 << 10

// policy lets the page load what serve serves, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Handler serves the page at / and what belongs to it below /inspector/.
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

// guard keeps the page to whoever may see it. A web page elsewhere could have its
// own name lead here (DNS rebinding), and a tunnel that brings deliveries would
// bring its whole public here: both show in the request.
func (in *Inspector) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if !in.allowed(r) {
			http.Error(w, "This page is shown on this machine only: open it at 127.0.0.1 or localhost.", http.StatusForbidden)
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

// render writes a page, whole or not at all.
func render(w http.ResponseWriter, name string, data any) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, data); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = b.WriteTo(w) // a browser that has gone wants no more
}

// events sends what happens, as it happens, until the page is closed.
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

// delivery shows one of them.
func (in *Inspector) delivery(w http.ResponseWriter, r *http.Request) {
	if d := in.named(w, r); d != nil {
		render(w, "delivery.html", in.view(r, d))
	}
}

// named returns the delivery that the path names, and answers where there is none.
func (in *Inspector) named(w http.ResponseWriter, r *http.Request) *delivery {
	id, _ := strconv.ParseInt(r.PathValue("id"), 10, 64) // none has the id 0
	d := in.Deliveries.find(id)
	if d == nil {
		http.Error(w, "That delivery is no longer kept.", http.StatusNotFound)
	}
	return d
}

// again sends a delivery once more.
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

// read reads what a button sends, and answers where that is not what one sends.
func read(w http.ResponseWriter, r *http.Request, to any) bool {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
	if err != nil || json.Unmarshal(text, to) != nil {
		http.Error(w, "That is not what a button sends.", http.StatusBadRequest)
		return false
	}
	return true
}

// say answers that it was done, or why not.
func say(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
