package refresh

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// If another caller's refresh has replaced or dropped the values that a caller saw,
// the caller gets the result of that refresh and starts none.
func TestRefreshThatHasJustEnded(t *testing.T) {
	for name, test := range map[string]struct {
		second error
		want   error
	}{
		"replaced": {nil, nil},
		"dropped":  {ErrNone, ErrNone},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fetches := 0
				c := &Cache[string]{Name: "values", StaleIfError: time.Hour, Log: slog.New(slog.DiscardHandler)}
				c.Fetch = func(context.Context) ([]string, error) {
					if fetches++; fetches == 2 && test.second != nil {
						return nil, test.second
					}
					return []string{"a"}, nil
				}
				if err := c.Warm(t.Context()); err != nil {
					t.Fatal(err)
				}
				seen := c.current.Load()
				time.Sleep(time.Hour)
				if err := c.refresh(t.Context(), seen); !errors.Is(err, test.want) {
					t.Fatalf("second refresh: %v", err)
				}
				if c.current.Load() == seen {
					t.Fatal("neither replaced nor dropped")
				}
				time.Sleep(time.Hour) // longer than any back-off
				if err := c.refresh(t.Context(), seen); !errors.Is(err, test.want) {
					t.Errorf("%v, want %v", err, test.want)
				}
				if fetches != 2 {
					t.Errorf("%d fetches, want 2", fetches)
				}
			})
		})
	}
}
