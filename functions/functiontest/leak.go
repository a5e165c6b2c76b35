package functiontest

import (
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"
)

// WantNothingLeft sends requests to a function that cannot be built, and checks that
// each is answered 503 and that none leaves a goroutine behind, such as those of a
// client that was opened before a later step failed.
func WantNothingLeft(t *testing.T, h http.Handler) {
	t.Helper()
	before := runtime.NumGoroutine()
	for range 100 {
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil))
		if answer.Code != http.StatusServiceUnavailable {
			t.Fatalf("answered %d, want 503", answer.Code)
		}
	}
	// A client's goroutines end a little after its Close.
	after := runtime.NumGoroutine()
	for end := time.Now().Add(10 * time.Second); after > before && time.Now().Before(end); after = runtime.NumGoroutine() {
		time.Sleep(10 * time.Millisecond)
	}
	if after > before {
		t.Errorf("%d goroutines, %d before 100 requests", after, before)
	}
}
