// Package hostile runs conformance cases against a receiver. A case sends genuine,
// forged, malformed or duplicate deliveries, and compares the statuses of the answers
// with the expected ones.
package hostile

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/geminihook/geminihook/scripts/geminihook/delivery"
	"github.com/geminihook/geminihook/scripts/internal/terminal"
	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// Options select the cases and the output. The zero value is for any receiver.
type Options struct {
	// Exact runs all cases and expects geminihook's own statuses and headers. If it is
	// false, only the cases that apply to any Standard Webhooks receiver are run, and
	// only the class of a status is compared: any 2xx accepts, any 4xx rejects.
	Exact bool

	// JSON writes each verdict as a JSON line, and no summary.
	JSON bool
}

// A conformanceCase is a genuine delivery with one change, and the expected answers.
type conformanceCase struct {
	name string
	want []int // every answer must be one of these, and at least one must be the first
	why  string
	ours bool // geminihook's own rule, which other Standard Webhooks receivers need not follow

	mutate       func(a *delivery.Attempt) // changes the attempt before it is signed; may be nil
	mutateSigned func(r *delivery.Request) // changes the request after it is signed; may be nil
	then         func(a *delivery.Attempt) // changes the attempt, which is then sent again; nil: no second delivery
	copies       int                       // the number of copies to send at once; 0 means 1
}

// A verdict is a conformance case with the answers that it got.
type verdict struct {
	conformanceCase
	scheme webhook.Scheme
	exact  bool
	got    []delivery.Answer
	err    error // from signing
}

// Run runs all cases of the target's schemes, one after the other, and reports each on
// standard output. It returns terminal.ErrReported if an answer was unexpected, and
// another error if ctx is done before the last case.
func Run(ctx context.Context, t *delivery.Target, o Options) error {
	client := delivery.NewClient(maxCopies)
	report := verdictWriter(o.JSON)
	var wrong []string
	total := 0
	for _, scheme := range t.Schemes {
		for _, c := range casesOf(scheme) {
			switch {
			case ctx.Err() != nil:
				return fmt.Errorf("interrupted after %d cases", total)
			case c.ours && !o.Exact:
				continue
			}
			total++
			v := c.run(ctx, client, t.Attempt(scheme, webhooktest.NewEvent("batch.succeeded")), o.Exact)
			report(v)
			if v.fault() != "" {
				wrong = append(wrong, fmt.Sprintf("%s: %s", scheme, c.name))
			}
		}
	}
	if !o.JSON {
		summarize(total, wrong)
	}
	if len(wrong) > 0 {
		return terminal.ErrReported
	}
	return nil
}

// run sends the case's deliveries, and returns their answers.
func (c conformanceCase) run(ctx context.Context, client *http.Client, a *delivery.Attempt, exact bool) verdict {
	v := verdict{conformanceCase: c, scheme: a.Scheme, exact: exact}
	if c.mutate != nil {
		c.mutate(a)
	}
	if v.send(ctx, client, a); c.then != nil {
		c.then(a)
		v.send(ctx, client, a)
	}
	return v
}

// send sends the case's number of copies of the attempt at once, and waits for all
// answers.
func (v *verdict) send(ctx context.Context, client *http.Client, a *delivery.Attempt) {
	r, err := a.Request()
	if err != nil {
		v.err = err
		return
	}
	if v.mutateSigned != nil {
		v.mutateSigned(r)
	}
	got := make([]delivery.Answer, max(v.copies, 1))
	var all sync.WaitGroup
	for i := range got {
		all.Go(func() { got[i] = delivery.Post(ctx, client, r) })
	}
	all.Wait()
	v.got = append(v.got, got...)
}

// fault describes the first unexpected answer. It is empty if all answers were
// expected.
func (v *verdict) fault() string {
	if v.err != nil {
		return "not sent: " + v.err.Error()
	}
	expected := false
	for _, got := range v.got {
		switch {
		case got.Err != nil:
			return "no answer: " + got.Err.Error()
		case !slices.ContainsFunc(v.want, v.met(got.Status)):
			return "the answer should have been " + v.wanted(" or ", v.want...)
		case v.exact && got.Status == http.StatusServiceUnavailable && got.RetryAfter() <= 0:
			return "the 503 has no Retry-After header"
		case v.exact && got.Status == http.StatusMethodNotAllowed && got.Header.Get("Allow") != http.MethodPost:
			return "the 405 has no Allow: POST header"
		}
		expected = expected || v.met(got.Status)(v.want[0])
	}
	if !expected {
		return "at least one answer should have been " + v.wanted("", v.want[0])
	}
	return ""
}

// met returns a function that reports whether status is the wanted one. Unless v is
// exact, a status of the same class is enough.
func (v *verdict) met(status int) func(want int) bool {
	return func(want int) bool { return status == want || !v.exact && status/100 == want/100 }
}

// wanted returns statuses as text. Unless v is exact, it returns their classes.
func (v *verdict) wanted(separator string, codes ...int) string {
	var texts []string
	for _, code := range codes {
		text := strconv.Itoa(code)
		if !v.exact {
			text = text[:1] + "xx"
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, separator)
}

// answered returns the statuses received, each with its count. Status 0, no answer, is
// shown as "---".
func (v *verdict) answered() string {
	count := make(map[int]int)
	for _, got := range v.got {
		count[got.Status]++
	}
	var texts []string
	for _, status := range slices.Sorted(maps.Keys(count)) {
		text := strconv.Itoa(status)
		if status == 0 {
			text = "---"
		}
		if count[status] > 1 {
			text += "×" + strconv.Itoa(count[status])
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, " ")
}

// verdictWriter returns a function that writes a verdict on standard output.
func verdictWriter(asJSON bool) func(verdict) {
	if asJSON {
		return writeVerdictJSON
	}
	paint := terminal.PaintFor(os.Stdout)
	return func(v verdict) {
		mark, fault := paint.In(terminal.Green, "ok   "), v.fault()
		if fault != "" {
			mark = paint.In(terminal.Red, "WRONG")
		}
		fmt.Printf("%s  %-7s  %-3s  %-52s  %-13s  %s\n", mark, delivery.Endpoint(v.scheme), v.scheme, v.name, v.answered(), paint.In(terminal.Dim, v.why))
		if fault != "" {
			fmt.Printf("       %s\n", paint.In(terminal.Red, fault))
		}
	}
}

func writeVerdictJSON(v verdict) {
	got := []int{}
	for _, a := range v.got {
		got = append(got, a.Status)
	}
	_ = json.NewEncoder(os.Stdout).Encode(struct {
		Endpoint string         `json:"endpoint"`
		Scheme   webhook.Scheme `json:"scheme"`
		Case     string         `json:"case"`
		Exact    bool           `json:"exact"`
		Want     []int          `json:"want"`
		Got      []int          `json:"got"`
		OK       bool           `json:"ok"`
		Fault    string         `json:"fault,omitempty"`
		Why      string         `json:"why"`
	}{delivery.Endpoint(v.scheme), v.scheme, v.name, v.exact, v.want, got, v.fault() == "", v.fault(), v.why})
}

func summarize(total int, wrong []string) {
	paint := terminal.PaintFor(os.Stdout)
	if len(wrong) == 0 {
		fmt.Printf("\n%s\n", paint.In(terminal.Green, fmt.Sprintf("all %d cases were answered as expected", total)))
		return
	}
	fmt.Printf("\n%s\n", paint.In(terminal.Red, fmt.Sprintf("%d of %d cases were not answered as expected:", len(wrong), total)))
	for _, name := range wrong {
		fmt.Printf("  %s\n", name)
	}
}
