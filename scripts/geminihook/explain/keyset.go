package explain

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/geminihook/geminihook/shared/jwks"
	"github.com/geminihook/geminihook/shared/webhook"
)

// KeySet returns the keys of the key set at a URL: those that the functions would
// use.
func KeySet(ctx context.Context, text string) (keys []webhook.PublicKey, err error) {
	url, err := jwks.ParseURL(text)
	if err == nil {
		_, err = jwks.Open(url, slog.New(slog.DiscardHandler)).Find(ctx, func(k webhook.PublicKey) bool {
			keys = append(keys, k)
			return false
		})
	}
	if err != nil {
		return nil, err
	}
	return keys, nil
}

// KeySetIn returns the keys of a key set that is given as text. It serves the text
// on this machine and reads it from there, so that the functions' rules apply.
func KeySetIn(ctx context.Context, text []byte) ([]webhook.PublicKey, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(text) })}
	go server.Serve(listener)
	defer server.Close()
	return KeySet(ctx, "http://"+listener.Addr().String())
}
