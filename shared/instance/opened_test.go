package instance

import (
	"errors"
	"slices"
	"testing"
)

// closer notes that it was closed, and fails to.
type closer struct {
	name   string
	closed *[]string
}

func (c closer) Close() error {
	*c.closed = append(*c.closed, c.name)
	return errors.New("not to be seen")
}

func TestOpened(t *testing.T) {
	for _, failure := range []error{nil, errors.New("down")} {
		var closed []string
		build := func() (err error) {
			var opened Opened
			defer opened.CloseIf(&err)
			opened.Add(closer{"first", &closed})
			opened.Add(closer{"second", &closed})
			return failure
		}
		if err := build(); err != failure {
			t.Errorf("%v, want %v", err, failure)
		}
		want := []string{"second", "first"}
		if failure == nil {
			want = nil
		}
		if !slices.Equal(closed, want) {
			t.Errorf("after %v: closed %v, want %v", failure, closed, want)
		}
	}
}
