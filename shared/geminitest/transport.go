package geminitest

import (
	"bytes"
	"io"
	"net/http"
)

// Client returns an HTTP client that calls the API in memory, whatever the host of a
// URL is. It can be used in a bubble of testing/synctest, on virtual time.
func (a *API) Client() *http.Client { return &http.Client{Transport: InMemory(a)} }

// InMemory returns a transport that hands each request to a handler. Answers are
// complete before the client gets them. A handler that panics with
// http.ErrAbortHandler breaks the connection.
func InMemory(handler http.Handler) http.RoundTripper { return inMemory{handler} }

type inMemory struct{ handler http.Handler }

// RoundTrip implements http.RoundTripper.
func (t inMemory) RoundTrip(req *http.Request) (*http.Response, error) {
	in := req.Clone(req.Context())
	in.RequestURI, in.RemoteAddr = req.URL.RequestURI(), "127.0.0.1:1"
	if in.Host == "" {
		in.Host = req.URL.Host
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	answer := make(chan *recorder, 1)
	go func() {
		defer in.Body.Close()
		answer <- record(t.handler, in)
	}()
	select {
	case <-req.Context().Done():
		return nil, req.Context().Err()
	case r := <-answer:
		if r.broken {
			return nil, io.ErrUnexpectedEOF
		}
		return r.response(req), nil
	}
}

// A recorder keeps an answer.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
	broken bool
}

func record(handler http.Handler, req *http.Request) (r *recorder) {
	r = &recorder{header: http.Header{}}
	defer func() {
		if cause := recover(); cause == http.ErrAbortHandler { //nolint:errorlint // the server compares so, too
			r.broken = true
		} else if cause != nil {
			panic(cause)
		}
	}()
	handler.ServeHTTP(r, req)
	return r
}

// Header implements http.ResponseWriter.
func (r *recorder) Header() http.Header { return r.header }

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

// Write implements http.ResponseWriter.
func (r *recorder) Write(text []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(text)
}

func (r *recorder) response(req *http.Request) *http.Response {
	r.WriteHeader(http.StatusOK)
	return &http.Response{
		Status: http.StatusText(r.status), StatusCode: r.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: r.header, Body: io.NopCloser(&r.body), ContentLength: int64(r.body.Len()), Request: req,
	}
}
