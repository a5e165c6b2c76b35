package main

import (
	"net"
	"runtime"
	"time"
)

const (
	// chunks is how many reads may be on their way in one direction before the sender is held up.
	chunks = 4096

	// processors is how many goroutines may be in the kernel at a time, asleep until a chunk is due, without holding up the
	// others of this process: each keeps a processor of Go's from them until the runtime notices, for up to 10 ms.
	processors = 64
)

// delayed puts servers at a distance: every byte arrives half a round trip after it was sent, and a connection is open a
// round trip after it was asked for. However much is under way at a time, nothing waits for anything but its own delay.
func delayed(roundTrip time.Duration) between {
	return func(addr string) (instead string, stop func(), err error) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", nil, err
		}
		before := runtime.GOMAXPROCS(processors)
		w := &wire{target: addr, oneWay: roundTrip / 2}
		go w.serve(l)
		return l.Addr().String(), func() {
			l.Close()
			runtime.GOMAXPROCS(before)
		}, nil
	}
}

// A wire leads to a server.
type wire struct {
	target string
	oneWay time.Duration
}

func (w *wire) serve(l net.Listener) {
	for {
		client, err := l.Accept()
		if err != nil {
			return // closed
		}
		go w.carry(client, time.Now())
	}
}

// carry connects a client with the server. Connections end when either side ends.
//
// The client believes to be connected at once. Over a real wire it would know a round trip later, and the server half
// of one after that: what either says before counts as said then.
func (w *wire) carry(client net.Conn, asked time.Time) {
	server, err := net.Dial("tcp", w.target)
	if err != nil {
		client.Close()
		return
	}
	go w.pump(server, client, asked.Add(2*w.oneWay))
	go w.pump(client, server, asked.Add(3*w.oneWay))
}

// A chunk is what was read at once.
type chunk struct {
	due   time.Time
	bytes []byte
}

// pump carries one direction of a connection, which is open from a time on.
func (w *wire) pump(dst, src net.Conn, open time.Time) {
	onTheWay := make(chan chunk, chunks)
	go arrive(dst, src, onTheWay)
	defer close(onTheWay)
	buf := make([]byte, 64<<10)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			sent := time.Now()
			if sent.Before(open) {
				sent = open
			}
			onTheWay <- chunk{sent.Add(w.oneWay), append([]byte(nil), buf[:n]...)}
		}
		if err != nil {
			return
		}
	}
}

// arrive writes what comes when it is due. At the end it closes both sides, which ends the other direction as well.
func arrive(dst, src net.Conn, onTheWay <-chan chunk) {
	defer src.Close()
	defer dst.Close()
	for c := range onTheWay {
		sleepUntil(c.due)
		dst.Write(c.bytes) // to a side that is gone: src ends soon
	}
}
