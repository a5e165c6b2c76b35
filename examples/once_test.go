package examples_test

import (
	"errors"
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	"cloud.google.com/go/pubsub/v2"

	"github.com/geminihook/geminihook/examples"
)

// An event is handled only if handle succeeded and its document was stored.
func TestOnceErrors(t *testing.T) {
	database, err := firestore.NewClient(t.Context(), "my-project", firestoreOptions...)
	if err != nil {
		t.Fatal(err)
	}
	defer database.Close()
	m := &pubsub.Message{Attributes: map[string]string{"ce-source": "//s", "ce-id": "msg_errors"}}
	signed := func(source, body string) *pubsub.Message {
		return &pubsub.Message{Attributes: map[string]string{"ce-source": source, "ce-id": "msg_same"}, Data: []byte(body)}
	}
	fail, succeed := errors.New("handling failed"), error(nil)
	for _, step := range []struct {
		name   string
		keep   time.Duration
		m      *pubsub.Message
		handle error
		first  bool
		failed bool
	}{
		{"Keep not set", 0, m, succeed, false, true},
		{"no event", time.Hour, &pubsub.Message{}, succeed, false, true},
		{"handling fails", time.Hour, m, fail, false, true},
		{"handling succeeds", time.Hour, m, succeed, true, false},
		{"again", time.Hour, m, fail, false, false},
		{"an id that the signature covers", time.Hour, signed("//s/dynamic", "one"), succeed, true, false},
		{"the same id", time.Hour, signed("//s/dynamic", "two"), fail, false, false},
		{"an id that a JWT does not cover", time.Hour, signed("//s/dynamic/jwt", "one"), succeed, true, false},
		{"the same id with other data", time.Hour, signed("//s/dynamic/jwt", "two"), succeed, true, false},
		{"the same id and data", time.Hour, signed("//s/dynamic/jwt", "two"), fail, false, false},
	} {
		once := &examples.Once{Client: database, Collection: "errors", Keep: step.keep}
		first, err := once.Do(t.Context(), step.m, func(*firestore.Transaction) error { return step.handle })
		if first != step.first || (err != nil) != step.failed {
			t.Errorf("%s: first %t, error %v", step.name, first, err)
		}
	}
}
