package main

import (
	"net"
	"runtime"
	"time"
)

// sleepers is the number of goroutines that can sleep in the kernel without delaying
// other goroutines. Each occupies one of Go's processors for up to 10 ms, until the
// runtime notices.
const sleepers = 64

// A wire is a connection to a server with a delay.
type wire struct {
	server string        // host:port
	oneWay time.Duration // half of a round trip
}

// delayed simulates distant servers: each byte arrives half a round trip after it was
// sent, and a connection is open one round trip after it was requested. Chunks in
// flight do not delay each other, and bandwidth is not limited.
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

// carry connects a client with the server. If either side closes, carry closes both.
//
// The client's connection is open at once. Over a real network, the client's would be
// open after one round trip, and the server's half a round trip later. Bytes sent
// earlier are delayed as if they were sent at these times.
func (w wire) carry(client net.Conn, requested time.Time) {
	server, err := net.Dial("tcp", w.server)
	if err != nil {
		client.Close()
		return
	}
	go w.pump(server, client, requested.Add(2*w.oneWay))
	go w.pump(client, server, requested.Add(3*w.oneWay))
}

// A chunk is the bytes of one read.
type chunk struct {
	due   time.Time
	bytes []byte
}

// pump carries one direction of a connection that opens at a given time.
func (w wire) pump(dst, src net.Conn, open time.Time) {
	underWay := make(chan chunk, 4096) // more chunks in flight would block the sender
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

// arrive writes each chunk when it is due. At the end it closes both connections, which
// ends the other direction, too.
func arrive(dst, src net.Conn, underWay <-chan chunk) {
	defer src.Close()
	defer dst.Close()
	for c := range underWay {
		sleepUntil(c.due)
		dst.Write(c.bytes) // if dst is closed, src ends soon
	}
}
