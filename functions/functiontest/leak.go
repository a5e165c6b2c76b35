package functiontest

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook/shared/cloudlog"
)

// FailedBuilds runs a function with one invalid setting at a time:
// FIRESTORE_COLLECTION, FIRESTORE_DATABASE, PUBSUB_EMULATOR_HOST or
// SECRET_MANAGER_EMULATOR_HOST. It sends 100 requests each time, and checks that the
// log contains the cause, that each request is answered 503, and that no goroutine is
// left, for example of a client that was opened before the failed step. handler returns
// a new function that logs to its argument. Before the call, the test must set the
// environment variables that an embedded [Project] does not set, for example
// SIGNING_SECRET_NAME.
func FailedBuilds(t *testing.T, handler func(*slog.Logger) http.Handler) {
	t.Helper()
	for variable, value := range map[string]string{
		"FIRESTORE_COLLECTION":         "deliveries/a",
		"FIRESTORE_DATABASE":           "a/b",
		"PUBSUB_EMULATOR_HOST":         "%zz",
		"SECRET_MANAGER_EMULATOR_HOST": "192.0.2.1:1",
	} {
		t.Run(variable, func(t *testing.T) {
			Embedded(t)
			t.Setenv(variable, value)
			logged := new(Log)
			wantNothingLeft(t, handler(cloudlog.New(logged)))
			if text := logged.Text(); !strings.Contains(text, variable) && !strings.Contains(text, value) {
				t.Errorf("the log does not contain the cause: %.500s", text)
			}
		})
	}
}

// wantNothingLeft checks that 100 failed builds leave no goroutine.
func wantNothingLeft(t *testing.T, h http.Handler) {
	t.Helper()
	before := runtime.NumGoroutine()
	for range 100 {
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil))
		if answer.Code != http.StatusServiceUnavailable {
			t.Fatalf("answered %d, want 503", answer.Code)
		}
	}
	// A client's goroutines end shortly after its Close.
	after := runtime.NumGoroutine()
	for end := time.Now().Add(10 * time.Second); after > before && time.Now().Before(end); after = runtime.NumGoroutine() {
		time.Sleep(10 * time.Millisecond)
	}
	if after > before {
		t.Errorf("%d goroutines after 100 requests, %d before", after, before)
	}
}
