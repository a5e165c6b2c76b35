package settings

import (
	"context"
	"errors"
	"slices"
	"testing"
)

// recorder is a part that records its calls. They all fail.
type recorder struct {
	name  string
	calls *[]string
}

func (r recorder) Warm(context.Context) error {
	*r.calls = append(*r.calls, "warm "+r.name)
	return errors.New("cold")
}

func (r recorder) Close() error {
	*r.calls = append(*r.calls, "close "+r.name)
	return errors.New("dropped by CloseIf")
}

func TestOpened(t *testing.T) {
	for _, failure := range []error{nil, errors.New("down")} {
		var calls []string
		var warm []func(context.Context) error
		build := func() (err error) {
			var opened Opened
			defer opened.CloseIf(&err)
			opened.Add(recorder{"first", &calls})
			opened.Add(recorder{"second", &calls})
			warm = opened.Warm()
			return failure
		}
		if err := build(); err != failure {
			t.Errorf("%v, want %v", err, failure)
		}
		want := []string{"close second", "close first"}
		if failure == nil {
			want = nil
		}
		if !slices.Equal(calls, want) {
			t.Errorf("after %v: calls %v, want %v", failure, calls, want)
		}
		calls = nil
		for _, warm := range warm {
			if err := warm(t.Context()); err == nil {
				t.Error("the error of a part's Warm is lost")
			}
		}
		if want := []string{"warm first", "warm second"}; !slices.Equal(calls, want) {
			t.Errorf("warm-up: calls %v, want %v", calls, want)
		}
	}
}
