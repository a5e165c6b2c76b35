package geminitest

import (
	"bytes"
	"io"
	"net/http"
)

// Client returns an HTTP client that sends all requests to the API in memory, for any
// host in the URL. It works in a testing/synctest bubble, on virtual time.
func (a *API) Client() *http.Client { return &http.Client{Transport: InMemory(a)} }

// InMemory returns a transport that passes each request to a handler in this process.
// The client gets an answer after the handler has returned. If the handler panics
// with http.ErrAbortHandler, the client gets io.ErrUnexpectedEOF. The transport is
// safe for concurrent use.
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

// A recorder is an http.ResponseWriter that keeps the answer in memory.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
	broken bool
}

// record runs a handler, and returns its answer. A panic with http.ErrAbortHandler
// makes the answer broken.
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
