package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"google.golang.org/grpc/connectivity"

	"github.com/geminihook/geminihook/scripts/dev/bench/internal/calls"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

const (
	startsPerRound  = 3 // of each receiver
	laterDeliveries = 5 // in the same process, after the first
	connections     = 9 // whose set-up is measured
	idleFor         = 200 * time.Millisecond
)

// starters are what is started.
var starters = []string{empty, floor, this, textbook}

// A Start is what one start took, in milliseconds. The empty function takes no deliveries.
type Start struct {
	Receiver string `json:"receiver"`

	// Answer is from the start of the process to the first answer, to anything.
	Answer number `json:"first_answer_ms"`

	// At a distance. Delivered is from the start of the process to the answer to the first delivery, which is sent as soon
	// as somebody listens. First is how long that delivery itself took, Later is how long the next ones take.
	Delivered number `json:"start_to_first_delivery_ms"`
	First     number `json:"first_delivery_ms"`
	Later     number `json:"later_delivery_ms"`

	// Idle is the memory that is resident after that, MiB.
	Idle number `json:"idle_mib"`
}

// Starts are all starts, each receiver's as often as any other's.
type Starts struct {
	Connection float64 `json:"connection_ms"` // to set one up at a distance
	Starts     []Start `json:"starts"`
}

func (b *bench) measureStart(ctx context.Context) (s Starts, err error) {
	b.say("start")
	p, err := b.newProject(ctx, delayed(distance))
	if err != nil {
		return s, err
	}
	defer p.close()
	f, err := b.deploy(ctx, p) // for the emulators, which are warm from here on
	if err != nil {
		return s, err
	}
	f.stop()
	if s.Connection, err = connectionTime(ctx, p.firestore.instead); err != nil {
		return s, err
	}
	for i := range startsPerRound * b.rounds {
		var round []Start
		err := b.undisturbed(ctx, func() (err error) {
			round, err = b.startEach(ctx, p, inOrder(starters, i))
			return err
		})
		if err != nil {
			return s, err
		}
		s.Starts = append(s.Starts, round...)
	}
	return s, nil
}

func (b *bench) startEach(ctx context.Context, p *project, names []string) (round []Start, err error) {
	for _, name := range names {
		start, err := b.startTwice(ctx, name, p)
		if err != nil {
			return nil, err
		}
		round = append(round, start)
	}
	return round, nil
}

// startTwice starts a receiver once to ask anything of it, and once to send it deliveries.
func (b *bench) startTwice(ctx context.Context, name string, p *project) (s Start, err error) {
	s = Start{Receiver: name, Delivered: missing, First: missing, Later: missing}
	r, err := b.start(ctx, name, p)
	if err != nil {
		return s, err
	}
	_, _, err = r.answered(ctx, r.get)
	s.Answer = r.age()
	if err == nil && name == empty {
		s.Idle = r.idle()
	}
	r.stop()
	if err != nil || name == empty {
		return s, err
	}

	if r, err = b.start(ctx, name, p); err != nil {
		return s, err
	}
	defer r.stop()
	if err := b.firstDelivery(ctx, r, &s); err != nil {
		return s, err
	}
	s.Idle = r.idle()
	return s, nil
}

// firstDelivery sends a delivery as soon as somebody listens, and then some more.
func (b *bench) firstDelivery(ctx context.Context, r *process, s *Start) error {
	status, took, err := r.answered(ctx, func(ctx context.Context) (int, error) {
		req, err := b.sender.delivery(ctx, r.url, webhooktest.NewID())
		if err != nil {
			return 0, err
		}
		return b.sender.do(req)
	})
	s.Delivered, s.First = r.age(), number(milliseconds(took))
	if err == nil && status != http.StatusNoContent {
		err = r.fail(fmt.Errorf("the first delivery was answered %d", status))
	}
	if err != nil {
		return err
	}
	later, err := b.sender.load(ctx, r, 1, times(laterDeliveries))
	if err != nil {
		return err
	}
	s.Later = number(later.figures(r, 1).P50)
	return nil
}

// age returns the milliseconds since the process was started.
func (r *process) age() number { return number(milliseconds(time.Since(r.started))) }

// idle leaves the process alone for a while, and returns the memory that it holds then.
func (r *process) idle() number {
	time.Sleep(idleFor)
	return number(r.residentMiB())
}

func (s Starts) of(receiver string) []Start {
	return where(s.Starts, func(start Start) bool { return start.Receiver == receiver })
}

// What is asked of starts. The penalty is by how much the first delivery takes longer than later ones.
func answer(s Start) float64    { return float64(s.Answer) }
func delivered(s Start) float64 { return float64(s.Delivered) }
func first(s Start) float64     { return float64(s.First) }
func later(s Start) float64     { return float64(s.Later) }
func penalty(s Start) float64   { return float64(s.First - s.Later) }
func idle(s Start) float64      { return float64(s.Idle) }

// connectionTime returns the milliseconds until a connection can be used, the median of several.
func connectionTime(ctx context.Context, addr string) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	var times []float64
	for range connections {
		conn, err := calls.Dial(addr)
		if err != nil {
			return 0, err
		}
		defer conn.Close()
		begin := time.Now()
		conn.Connect()
		for state := conn.GetState(); state != connectivity.Ready; state = conn.GetState() {
			if !conn.WaitForStateChange(ctx, state) {
				return 0, fmt.Errorf("connection to %s: %w", addr, ctx.Err())
			}
		}
		times = append(times, milliseconds(time.Since(begin)))
	}
	return middle(times), nil
}
