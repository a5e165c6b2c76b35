package proof

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

const (
	halfSent = 400

	// soonEnough bounds a half-sent request, and the drain of an instance with
	// half-sent requests, on an idle machine.
	soonEnough = 4 * time.Second
)

// TestHalfSent opens many connections that each send only one byte of a body. All are
// answered and closed, genuine deliveries are accepted meanwhile, and SIGTERM ends the
// instance.
func TestHalfSent(t *testing.T) {
	for _, function := range []string{realStatic, realDynamic} {
		t.Run(function, func(t *testing.T) {
			l, _ := newLoad(t, function)
			l.ordinary("first") // warmed up
			slowest, answers, genuine := l.sendHalves(t)
			fmt.Printf("%s: %d half-sent requests, answered %v, the last closed after %v; genuine deliveries meanwhile: %d accepted, %d refused with Retry-After\n",
				function, halfSent, answers, slowest.Round(time.Millisecond), len(genuine.accepted), genuine.refused)
			if *timed && slowest > soonEnough {
				t.Errorf("closed after %v, of at most %v", slowest, soonEnough)
			}
			want := map[string]string{realStatic: "HTTP/1.1 503 Service Unavailable", realDynamic: "HTTP/1.1 401 Unauthorized"}
			if answers[want[function]] != halfSent || len(genuine.other) > 0 {
				t.Errorf("half-sent requests answered %v, want %s; genuine deliveries also %v", answers, want[function], genuine.other)
			}
			if function == realDynamic && genuine.refused > 0 { // the gate is before the body
				t.Errorf("%d genuine deliveries refused", genuine.refused)
			}
			l.ordinary("afterwards")

			l.drainHalves(t)
		})
	}
}

// sendHalves sends half-sent requests. It returns the time until the last connection
// was closed, the answers, and the answers to genuine deliveries sent meanwhile.
func (l *load) sendHalves(t *testing.T) (slowest time.Duration, answers map[string]int, genuine *tally) {
	answers, genuine = make(map[string]int), &tally{other: make(map[string]int)}
	var mu sync.Mutex
	var halves sync.WaitGroup
	start := time.Now()
	for range halfSent {
		halves.Go(func() {
			status := half(t, l.instance.URL())
			mu.Lock()
			defer mu.Unlock()
			answers[status]++
			slowest = max(slowest, time.Since(start))
		})
	}
	closed := make(chan struct{})
	go func() {
		halves.Wait()
		close(closed)
	}()
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		l.post(genuine, webhooktest.NewEvent("batch.succeeded"))
		select {
		case <-closed:
			tick.Stop()
			return slowest, answers, genuine
		case <-tick.C:
		}
	}
}

// half sends the headers of a request and one byte of its body. It waits until the
// connection is closed, and returns the answer's status line.
func half(t *testing.T, address string) string {
	u, err := url.Parse(address)
	if err != nil {
		t.Error(err)
		return ""
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n{")
	reader := bufio.NewReader(conn)
	status, err := reader.ReadString('\n')
	if err != nil {
		t.Errorf("no answer: %v", err)
		return ""
	}
	if _, err := io.Copy(io.Discard, reader); err != nil {
		t.Errorf("answered %q, and not closed: %v", status, err)
	}
	return strings.TrimSpace(status)
}

// drainHalves sends SIGTERM to an instance with half-sent requests.
func (l *load) drainHalves(t *testing.T) {
	var all sync.WaitGroup
	for range halfSent {
		all.Go(func() {
			u, _ := url.Parse(l.instance.URL())
			if conn, err := net.Dial("tcp", u.Host); err == nil {
				fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n{")
				_, _ = io.Copy(io.Discard, conn) // until the instance ends, if not before
				conn.Close()
			}
		})
	}
	time.Sleep(noticed)
	start := time.Now()
	l.instance.Signal(syscall.SIGTERM)
	err := l.instance.Wait()
	took := time.Since(start)
	all.Wait()
	fmt.Printf("SIGTERM ended the instance, with %d half-sent requests, after %v\n", halfSent, took.Round(time.Millisecond))
	if err != nil {
		t.Errorf("the instance ended with %v", err)
	}
	if *timed && took > soonEnough {
		t.Errorf("the drain took %v, of at most %v", took, soonEnough)
	}
}
