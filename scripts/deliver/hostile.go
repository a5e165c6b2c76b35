package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/geminihook/geminihook/scripts/internal/command"
	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// A trial is a genuine delivery with one thing about it that is not, or that is
// unusual, and how it must be answered.
type trial struct {
	name string
	want []int // the first one at least once, and nothing else
	why  string

	spoil  func(a *attempt) // before it is signed; may be nil
	tamper func(r *request) // after it is signed; may be nil
	then   func(a *attempt) // makes a second delivery of the first, sent after it; may be nil
	copies int              // sent at once; 0 means 1
}

// verdict is what a trial came to.
type verdict struct {
	trial
	scheme webhook.Scheme
	got    []answer
	err    error // of what was to be sent
}

// beHostile runs all trials of the target's schemes, one after the other.
func beHostile(ctx context.Context, o *options, t *target) error {
	client := newClient(maxCopies)
	say := verdictWriter(o.json)
	var wrong []string
	total := 0
	for _, scheme := range t.schemes {
		for _, tr := range trialsOf(scheme) {
			if ctx.Err() != nil {
				return fmt.Errorf("ended after %d trials", total)
			}
			total++
			v := tr.run(ctx, client, t.attempt(scheme, webhooktest.NewEvent("batch.succeeded")))
			say(v)
			if v.fault() != "" {
				wrong = append(wrong, fmt.Sprintf("%s: %s", scheme, tr.name))
			}
		}
	}
	if !o.json {
		summarize(total, wrong)
	}
	if len(wrong) > 0 {
		return command.ErrSilent
	}
	return nil
}

// run sends what the trial is about.
func (tr trial) run(ctx context.Context, client *http.Client, a *attempt) verdict {
	v := verdict{trial: tr, scheme: a.scheme}
	a.keys = new(*a.keys) // a trial may change its own
	if tr.spoil != nil {
		tr.spoil(a)
	}
	if v.send(ctx, client, a); tr.then != nil {
		tr.then(a)
		v.send(ctx, client, a)
	}
	return v
}

// send sends the attempt, in as many copies as the trial asks for.
func (v *verdict) send(ctx context.Context, client *http.Client, a *attempt) {
	r, err := a.request()
	if err != nil {
		v.err = err
		return
	}
	if v.tamper != nil {
		v.tamper(r)
	}
	got := make([]answer, max(v.copies, 1))
	var all sync.WaitGroup
	for i := range got {
		all.Go(func() { got[i] = post(ctx, client, r) })
	}
	all.Wait()
	v.got = append(v.got, got...)
}

// fault says what is wrong with the answers; nothing where it is empty.
func (v *verdict) fault() string {
	if v.err != nil {
		return "not sent: " + plain(v.err)
	}
	expected := false
	for _, got := range v.got {
		switch {
		case got.err != nil:
			return "no answer: " + plain(got.err)
		case !slices.Contains(v.want, got.status):
			return "the answer should have been " + statuses(v.want, " or ")
		case got.status == http.StatusServiceUnavailable && got.retryAfter() <= 0:
			return "a 503 must have a Retry-After here"
		case got.status == http.StatusMethodNotAllowed && got.header.Get("Allow") != http.MethodPost:
			return "a 405 must have Allow: POST"
		}
		expected = expected || got.status == v.want[0]
	}
	if !expected {
		return fmt.Sprintf("one answer should have been %d", v.want[0])
	}
	return ""
}

func statuses(codes []int, separator string) string {
	var texts []string
	for _, code := range codes {
		texts = append(texts, strconv.Itoa(code))
	}
	return strings.Join(texts, separator)
}

// answered is the statuses that came, each once with how often.
func (v *verdict) answered() string {
	count := make(map[int]int)
	var order []int
	for _, got := range v.got {
		if count[got.status]++; count[got.status] == 1 {
			order = append(order, got.status)
		}
	}
	var texts []string
	for _, status := range order {
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
	paint := command.PaintFor(os.Stdout)
	return func(v verdict) {
		mark, fault := paint.In(command.Green, "ok   "), v.fault()
		if fault != "" {
			mark = paint.In(command.Red, "WRONG")
		}
		fmt.Printf("%s  %-7s  %-3s  %-52s  %-13s  %s\n", mark, endpoint(v.scheme), v.scheme, v.name, v.answered(), paint.In(command.Dim, v.why))
		if fault != "" {
			fmt.Printf("       %s\n", paint.In(command.Red, fault))
		}
	}
}

func writeVerdictJSON(v verdict) {
	got := []int{}
	for _, a := range v.got {
		got = append(got, a.status)
	}
	_ = json.NewEncoder(os.Stdout).Encode(struct {
		Endpoint string         `json:"endpoint"`
		Scheme   webhook.Scheme `json:"scheme"`
		Trial    string         `json:"trial"`
		Want     []int          `json:"want"`
		Got      []int          `json:"got"`
		OK       bool           `json:"ok"`
		Fault    string         `json:"fault,omitempty"`
		Why      string         `json:"why"`
	}{endpoint(v.scheme), v.scheme, v.name, v.want, got, v.fault() == "", v.fault(), v.why})
}

func summarize(total int, wrong []string) {
	paint := command.PaintFor(os.Stdout)
	if len(wrong) == 0 {
		fmt.Printf("\n%s\n", paint.In(command.Green, fmt.Sprintf("all %d trials were answered as they should be", total)))
		return
	}
	fmt.Printf("\n%s\n", paint.In(command.Red, fmt.Sprintf("%d of %d trials were not answered as they should be:", len(wrong), total)))
	for _, name := range wrong {
		fmt.Printf("  %s\n", name)
	}
}
