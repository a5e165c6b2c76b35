package send

import (
	"testing"
	"time"
)

func TestPauseGrows(t *testing.T) {
	for n, want := range map[int]time.Duration{
		1:   5 * time.Second,
		2:   20 * time.Second,
		3:   80 * time.Second,
		7:   20480 * time.Second,
		100: giveUpAfter,
		1e6: giveUpAfter,
	} {
		got := pause(FirstPause, n, 0)
		if least, most := want*8/10, want*12/10; got < least || got > most {
			t.Errorf("after attempt %d: %v, want %v to %v", n, got, least, most)
		}
	}
}

func TestPauseHonoursRetryAfter(t *testing.T) {
	if got := pause(time.Millisecond, 1, time.Minute); got != time.Minute {
		t.Errorf("pause %v, want 1m, as Retry-After asks", got)
	}
	if got := pause(time.Hour, 1, time.Minute); got < 48*time.Minute {
		t.Errorf("pause %v, want 48m or more: Retry-After is shorter", got)
	}
}
