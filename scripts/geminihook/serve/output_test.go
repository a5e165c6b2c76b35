package serve

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Text written in any pieces is shown line by line, each line when it is complete.
func TestOutput(t *testing.T) {
	var shown []string
	o := &output{show: func(line []byte) { shown = append(shown, string(line)) }}
	for _, text := range []string{"a", "b\nc\n\nd", "", "e", "f\n{\"execution_id\":\"" + probeID + "\"}\ng"} {
		if n, err := o.Write([]byte(text)); n != len(text) || err != nil {
			t.Errorf("%q: %d, %v", text, n, err)
		}
	}
	if want := []string{"ab\n", "c\n", "\n", "def\n"}; !slices.Equal(shown, want) {
		t.Errorf("shown %q, want %q", shown, want)
	}
	o.end()
	o.end()
	if want := []string{"ab\n", "c\n", "\n", "def\n", "g\n"}; !slices.Equal(shown, want) {
		t.Errorf("at the end shown %q, want %q", shown, want)
	}
}

func TestOutputKeepsTheLastLines(t *testing.T) {
	o := &output{show: func([]byte) {}}
	var want strings.Builder
	for i := range 3 * keptLines {
		line := fmt.Sprintln("line", i)
		o.Write([]byte(line))
		if i >= 2*keptLines {
			want.WriteString(line)
		}
	}
	if got := slices.Concat(o.end()...); string(got) != want.String() {
		t.Errorf("kept %q, want %q", got, want.String())
	}
}
