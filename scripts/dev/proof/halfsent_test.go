package proof

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/geminihook/geminihook/functions/functiontest"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

const (
	halfSent = 400

	// soonEnough is how long a half-sent request, and the drain of an instance that has
	// some, may take on a machine with nothing else to do.
	soonEnough = 4 * time.Second
)

// TestHalfSent opens many connections that each send one byte of a body and then
// nothing. Every one is answered and closed, genuine deliveries are accepted meanwhile,
// and SIGTERM ends the instance.
func TestHalfSent(t *testing.T) {
	for _, function := range []string{realStatic, realDynamic} {
		t.Run(function, func(t *testing.T) {
			l, _ := newLoad(t, function)
			l.ordinary("first") // warmed up
			slowest, accepted, asked := l.sendHalves(t)
			fmt.Printf("%s: %d half-sent requests, the last answered and closed after %v; a genuine delivery accepted meanwhile after %v\n",
				function, halfSent, slowest.Round(time.Millisecond), accepted.Round(time.Millisecond))
			if *timed && (slowest > soonEnough || accepted > soonEnough) {
				t.Errorf("answered after %v, accepted after %v, of at most %v", slowest, accepted, soonEnough)
			}
			t.Logf("answers: %v", asked)

			l.drainHalves(t)
		})
	}
}

// sendHalves returns how long the slowest half-sent request took until its connection
// was closed, how long a genuine delivery took from the same moment, and the answers.
func (l *load) sendHalves(t *testing.T) (slowest, accepted time.Duration, answers map[string]int) {
	answers = make(map[string]int)
	var mu sync.Mutex
	var all sync.WaitGroup
	start := time.Now()
	for range halfSent {
		all.Go(func() {
			status := half(t, l.instance.URL())
			mu.Lock()
			defer mu.Unlock()
			answers[status]++
			slowest = max(slowest, time.Since(start))
		})
	}
	id, body := webhooktest.NewID(), webhooktest.NewEvent("batch.succeeded")
	functiontest.Eventually(t, "a genuine delivery accepted meanwhile", func() bool {
		resp, err := post(t.Context(), l.client, l.instance.URL(), l.sign, id, body)
		return err == nil && resp.StatusCode == http.StatusNoContent
	})
	accepted = time.Since(start)
	all.Wait()
	return slowest, accepted, answers
}

// half sends the head of a request and one byte of its body, and returns the status
// line of the answer when the connection is closed.
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

// drainHalves ends an instance that has half-sent requests.
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
