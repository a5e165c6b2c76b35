// Package hostile runs conformance cases against a receiver: deliveries that it must
// reject, repeat or endure, whose answers are judged by their status.
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

// Options say how to judge.
type Options struct {
	// Exact runs every case and asks for geminihook's own statuses and headers.
	// Without it only the cases run that hold for any Standard Webhooks receiver, and
	// the class of a status counts: any 2xx accepts, any 4xx rejects.
	Exact bool

	JSON bool
}

// A conformanceCase is a genuine delivery with one thing changed, and the answers that
// it must get.
type conformanceCase struct {
	name string
	want []int // the first one at least once, and nothing else
	why  string
	ours bool // a rule of geminihook's, not of every Standard Webhooks receiver

	mutate       func(a *delivery.Attempt) // changes it before it is signed; may be nil
	mutateSigned func(r *delivery.Request) // changes it after it is signed; may be nil
	then         func(a *delivery.Attempt) // makes a second delivery of the first, sent after it; may be nil
	copies       int                       // sent at once; 0 means 1
}

// A verdict is the result of a conformance case.
type verdict struct {
	conformanceCase
	scheme webhook.Scheme
	exact  bool
	got    []delivery.Answer
	err    error // of signing it
}

// Run runs all cases of the target's schemes, one after the other, and reports them
// on standard output. It returns terminal.ErrReported if an answer was not as it
// should be.
func Run(ctx context.Context, t *delivery.Target, o Options) error {
	client := delivery.NewClient(maxCopies)
	report := verdictWriter(o.JSON)
	var wrong []string
	total := 0
	for _, scheme := range t.Schemes {
		for _, c := range casesOf(scheme) {
			switch {
			case ctx.Err() != nil:
				return fmt.Errorf("ended after %d cases", total)
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

// run sends the case's deliveries.
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

// send sends the attempt, in as many copies as the case asks for.
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

// fault describes what is wrong with the answers. It is empty if nothing is.
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
			return "a 503 must have a Retry-After here"
		case v.exact && got.Status == http.StatusMethodNotAllowed && got.Header.Get("Allow") != http.MethodPost:
			return "a 405 must have Allow: POST"
		}
		expected = expected || v.met(got.Status)(v.want[0])
	}
	if !expected {
		return "one answer should have been " + v.wanted("", v.want[0])
	}
	return ""
}

// met returns a function that reports whether status is good for a wanted one.
func (v *verdict) met(status int) func(want int) bool {
	return func(want int) bool { return status == want || !v.exact && status/100 == want/100 }
}

// wanted returns statuses as text, or their classes if those are what counts.
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

// answered returns the statuses received, each once with its count.
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

// verdictWriter returns what writes a line for each verdict.
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
		fmt.Printf("\n%s\n", paint.In(terminal.Green, fmt.Sprintf("all %d cases were answered as they should be", total)))
		return
	}
	fmt.Printf("\n%s\n", paint.In(terminal.Red, fmt.Sprintf("%d of %d cases were not answered as they should be:", len(wrong), total)))
	for _, name := range wrong {
		fmt.Printf("  %s\n", name)
	}
}
