package explain

import (
	"fmt"
	"io"

	"github.com/geminihook/geminihook/scripts/internal/terminal"
)

var marks = map[Mark]struct{ sign, colour string }{
	Pass: {"✓", terminal.Green},
	Fail: {"✗", terminal.Red},
	Note: {"–", terminal.Dim},
}

// Write writes a line for each check, then the verdict, then each cause with its
// remedy.
func (r *Report) Write(w io.Writer, paint terminal.Paint) {
	for _, c := range r.Checks {
		mark := marks[c.Mark]
		fmt.Fprintf(w, "%s %-17s  %s\n", paint.In(mark.colour, mark.sign), c.What, c.Says)
	}
	colour := terminal.Green
	if !r.Genuine {
		colour = terminal.Red
	}
	fmt.Fprintf(w, "\n%s\n", paint.In(colour, r.Verdict))
	for i, cause := range r.Causes {
		fmt.Fprintf(w, "Cause: %s (%s).\nTo do: %s.\n", r.Why[i], cause, r.Do[i])
	}
}
