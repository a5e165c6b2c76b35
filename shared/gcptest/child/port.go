package child

import (
	"errors"
	"net"
	"os"
	"strconv"
	"sync"
)

// Ports for children lie below those that systems choose by themselves, for a listener on
// port 0 and for outgoing connections: 32768 and above on Linux, 49152 and above
// elsewhere. So nothing takes a port between the choice of it and the child's start.
const (
	firstPort = 20000
	blockSize = 400 // ports; instances of one process that listen at once, with room
	blocks    = 30
)

// ports are those of this process.
var ports struct {
	sync.Mutex
	owner net.Listener // on the first port of the block: nobody else's as long as this process lives
	block int
	next  int
}

// FreePort returns a port of 127.0.0.1 on which no process listens, for a child that must
// be told its port. Each process draws from a block of its own, in turn, so two children
// never get the same port, whichever process starts them, unless one process starts
// hundreds at once. FreePort fails if other processes own all blocks.
func FreePort() (string, error) {
	ports.Lock()
	defer ports.Unlock()
	if err := ownBlock(); err != nil {
		return "", err
	}
	for range blockSize {
		ports.next = ports.next%(blockSize-1) + 1
		port := firstPort + ports.block*blockSize + ports.next
		if listener, err := listen(port); err == nil {
			return strconv.Itoa(port), listener.Close()
		}
	}
	return "", errors.New("all ports of this process are in use")
}

// ownBlock takes a block, unless this process has one.
func ownBlock() (err error) {
	if ports.owner != nil {
		return nil
	}
	for i := range blocks {
		// Where to begin differs from process to process, so that a client of one that
		// has ended does not meet the next.
		ports.block = (os.Getpid() + i) % blocks
		if ports.owner, err = listen(firstPort + ports.block*blockSize); err == nil {
			return nil
		}
	}
	return errors.New("no free block of ports: " + err.Error())
}

func listen(port int) (net.Listener, error) {
	return net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
}
