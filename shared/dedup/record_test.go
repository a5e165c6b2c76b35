package dedup

import (
	"testing"
	"time"
)

func TestDecide(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	const lease = 30 * time.Second
	mine := Record{Owner: "me", BodySHA256: "abc"}
	// A claim of somebody else, just made.
	base := snapshot{
		Record:  Record{Owner: "other", BodySHA256: "abc", State: StateClaimed, ExpireAt: now.Add(time.Hour)},
		updated: now,
		read:    now,
	}
	tests := []struct {
		name   string
		change func(*snapshot)
		want   verdict
	}{
		{"claimed just now", func(s *snapshot) {}, busy},
		{"claimed, the lease's last moment", func(s *snapshot) { s.read = now.Add(lease - 1) }, busy},
		{"claimed, lease expired", func(s *snapshot) { s.read = now.Add(lease) }, available},
		{"ours", func(s *snapshot) { s.Owner = "me" }, ours},
		{"ours, seen late", func(s *snapshot) { s.Owner, s.read = "me", now.Add(lease) }, ours},
		{"done", func(s *snapshot) { s.State = StateDone }, duplicate},
		{"done long ago", func(s *snapshot) { s.State, s.read = StateDone, now.Add(time.Minute) }, duplicate},
		{"done, another body", func(s *snapshot) { s.State, s.BodySHA256 = StateDone, "xyz" }, mismatch},
		{"claimed, another body", func(s *snapshot) { s.BodySHA256 = "xyz" }, busy},
		{"unknown state", func(s *snapshot) { s.State = "parked" }, busy},
		{"unknown state, lease expired", func(s *snapshot) { s.State, s.read = "parked", now.Add(lease) }, available},
		{"done, expired", func(s *snapshot) { s.State, s.ExpireAt = StateDone, now.Add(-1) }, available},
		{"done, at its expiry", func(s *snapshot) { s.State, s.ExpireAt = StateDone, now }, duplicate},
		{"claimed, expired", func(s *snapshot) { s.ExpireAt = now.Add(-1) }, available},
	}
	for _, test := range tests {
		seen := base
		test.change(&seen)
		if got := decide(&seen, &mine, lease); got != test.want {
			t.Errorf("%s: verdict %d, want %d", test.name, got, test.want)
		}
	}
}
