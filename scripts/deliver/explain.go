package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/geminihook/geminihook/scripts/deliver/explain"
	"github.com/geminihook/geminihook/scripts/internal/command"
	"github.com/geminihook/geminihook/shared/jwks"
	"github.com/geminihook/geminihook/shared/webhook"
)

// explainCapture says whether a captured request is genuine. It fails silently,
// since its output has said why, where the functions would refuse it.
func explainCapture(ctx context.Context, o *options) error {
	to, err := o.receiver(ctx)
	if err != nil {
		return err
	}
	text, err := readFile("-explain", o.explain)
	if err != nil {
		return err
	}
	capture, err := explain.Read(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("-explain: %w", err)
	}
	report := to.Explain(capture)
	if o.json {
		err = json.NewEncoder(os.Stdout).Encode(report)
	} else {
		report.Write(os.Stdout, command.PaintFor(os.Stdout))
	}
	if err == nil && !report.Genuine {
		err = command.ErrSilent
	}
	return err
}

// receiver is the endpoint that the request was for: a dynamic one where there is a
// key set.
func (o *options) receiver(ctx context.Context) (to explain.Receiver, err error) {
	given := 0
	for _, value := range []string{o.secret, o.jwksURL, o.jwksFile} {
		if value != "" {
			given++
		}
	}
	to.Secret = o.secret
	if o.audience != "" {
		to.Audiences = strings.Split(o.audience, ",")
	}
	switch {
	case given > 1:
		err = errors.New("-explain: a static endpoint has a secret, a dynamic one a key set: give one of -secret, -secret-file, -jwks-url, -jwks-file")
	case o.jwksURL != "":
		to.Keys, err = keySet(ctx, "-jwks-url", o.jwksURL)
	case o.jwksFile != "":
		to.Keys, err = keySetIn(ctx, o.jwksFile)
	case o.secret == "":
		to.Secret = os.Getenv(secretVariable)
	}
	if err == nil && given == 0 && to.Secret == "" {
		err = errors.New("-explain needs what the receiver verifies by: -secret, -secret-file or " + secretVariable + ", or -jwks-url or -jwks-file")
	}
	return to, err
}

// keySet returns the keys at a URL, those that the functions would take.
func keySet(ctx context.Context, name, text string) (keys []webhook.PublicKey, err error) {
	url, err := jwks.ParseURL(text)
	if err == nil {
		_, err = jwks.Open(url, slog.New(slog.DiscardHandler)).Find(ctx, func(k webhook.PublicKey) bool {
			keys = append(keys, k)
			return false
		})
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return keys, nil
}

// keySetIn returns the keys in a file, which it serves to itself: they come by the
// way on which the functions' come.
func keySetIn(ctx context.Context, file string) ([]webhook.PublicKey, error) {
	text, err := readFile("-jwks-file", file)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(text) })}
	go server.Serve(listener)
	defer server.Close()
	return keySet(ctx, "-jwks-file "+file, "http://"+listener.Addr().String())
}
