package dedup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/geminihook/geminihook/shared/webhook"
)

// deliver has the ledger record a delivery, as done unless do fails.
func deliver(t *testing.T, l *Ledger, endpoint, eventType, job string, do func(context.Context) (webhook.Receipt, error)) {
	t.Helper()
	d := newDelivery()
	d.Endpoint, d.Event = endpoint, webhook.Event{Type: eventType, JobID: job}
	if _, err := l.Once(t.Context(), d, do); err != nil && status.Code(err) != codes.Unknown {
		t.Fatal(err)
	}
}

func TestDone(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store) {
		l := s.ledger()
		var p publisher
		lost := publisher{err: errors.New("outcome unknown")}
		deliver(t, l, webhook.StaticEndpoint, "batch.succeeded", "batches/a", p.publish)
		deliver(t, l, webhook.StaticEndpoint, "interaction.requires_action", "v1_b..", p.publish)
		deliver(t, l, webhook.ReconciledEndpoint, "interaction.completed", "v1_b..", p.publish)
		deliver(t, l, webhook.StaticEndpoint, "batch.failed", "batches/claimed", lost.publish)
		deliver(t, l, webhook.StaticEndpoint, "batch.failed", "batches/other", p.publish)
		ids := []string{"batches/a", "a", "v1_b..", "batches/claimed", "claimed"}
		for len(ids) < MaxIDs {
			ids = append(ids, fmt.Sprint("filler-", len(ids)))
		}
		records, err := l.Done(t.Context(), ids)
		var got []string
		for _, r := range records {
			got = append(got, r.Endpoint+" "+r.Type+" "+r.JobID)
			if r.DoneAt.IsZero() {
				t.Errorf("%+v", r)
			}
		}
		slices.Sort(got)
		want := []string{"reconciled interaction.completed v1_b..", "static batch.succeeded batches/a", "static interaction.requires_action v1_b.."}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%v, %v", got, err)
		}
		if records, err := l.Done(t.Context(), []string{"none"}); err != nil || records != nil {
			t.Errorf("%v, %v", records, err)
		}
		if _, err := l.Done(t.Context(), append(ids, "one too many")); status.Code(errors.Unwrap(err)) != codes.InvalidArgument {
			t.Errorf("31 ids: %v", err)
		}
	})
}

func TestAny(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store) {
		l := s.ledger()
		var p publisher
		deliver(t, l, webhook.ReconciledEndpoint, "batch.succeeded", "a", p.publish)
		deliver(t, l, webhook.StaticEndpoint, "video.generated", "b", p.publish)
		sender := []string{webhook.StaticEndpoint, webhook.DynamicEndpoint}
		for _, test := range []struct {
			types []string
			want  bool
		}{
			{[]string{"batch.succeeded", "batch.failed"}, false},
			{[]string{"video.failed", "video.generated"}, true},
			{[]string{"interaction.failed"}, false},
		} {
			if got, err := l.Any(t.Context(), sender, test.types); got != test.want || err != nil {
				t.Errorf("%v: %t, %v", test.types, got, err)
			}
		}
	})
}
