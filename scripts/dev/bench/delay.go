package main

import (
	"net"
	"runtime"
	"time"
)

// sleepers is how many goroutines may sleep in the kernel until a chunk is due without
// holding up others of this process. Each keeps one of Go's processors until the runtime
// notices, for up to 10 ms.
const sleepers = 64

// A wire leads to a server at a distance.
type wire struct {
	server string
	oneWay time.Duration
}

// delayed puts servers at a distance: every byte arrives half a round trip after it was
// sent, and a connection is open one round trip after it was requested. A chunk waits for
// its own delay only, however many are under way. Bandwidth is not limited.
func delayed(roundTrip time.Duration) between {
	return func(addr string) (instead string, stop func(), err error) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", nil, err
		}
		before := runtime.GOMAXPROCS(sleepers)
		w := wire{addr, roundTrip / 2}
		go func() {
			for client, err := l.Accept(); err == nil; client, err = l.Accept() {
				go w.carry(client, time.Now())
			}
		}()
		return l.Addr().String(), func() {
			l.Close()
			runtime.GOMAXPROCS(before)
		}, nil
	}
}

// carry connects a client with the server. Both connections end when either side ends.
//
// The client's connection is open at once. Over a real wire the client would know that
// after a round trip, and the server after half a round trip more: bytes that either side
// sends earlier are delayed as if they were sent then.
func (w wire) carry(client net.Conn, requested time.Time) {
	server, err := net.Dial("tcp", w.server)
	if err != nil {
		client.Close()
		return
	}
	go w.pump(server, client, requested.Add(2*w.oneWay))
	go w.pump(client, server, requested.Add(3*w.oneWay))
}

// A chunk is the result of one read.
type chunk struct {
	due   time.Time
	bytes []byte
}

// pump carries one direction of a connection that opens at a given time.
func (w wire) pump(dst, src net.Conn, open time.Time) {
	underWay := make(chan chunk, 4096) // with more, the sender would have to wait
	go arrive(dst, src, underWay)
	defer close(underWay)
	buf := make([]byte, 64<<10)
	for {
		n, err := src.Read(buf)
		sent := time.Now()
		if sent.Before(open) {
			sent = open
		}
		underWay <- chunk{sent.Add(w.oneWay), append([]byte(nil), buf[:n]...)}
		if err != nil {
			return
		}
	}
}

// arrive writes each chunk when it is due. At the end it closes both sides, which ends
// the other direction, too.
func arrive(dst, src net.Conn, underWay <-chan chunk) {
	defer src.Close()
	defer dst.Close()
	for c := range underWay {
		sleepUntil(c.due)
		dst.Write(c.bytes) // if dst is closed, src ends soon
	}
}
