package explain

import (
	"context"
	"log/slog"

	"github.com/geminihook/geminihook/shared/jwks"
	"github.com/geminihook/geminihook/shared/webhook"
)

// KeySet fetches the key set at a URL and returns the keys that the functions would
// use. It fails if the URL is not allowed, or if the set cannot be fetched or parsed.
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
