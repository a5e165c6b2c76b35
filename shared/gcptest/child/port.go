package child

import (
	"errors"
	"net"
	"os"
	"strconv"
	"sync"
)

// Ports for children are 20000 to 31999. Systems choose ports by themselves, for
// listeners on port 0 and for outgoing connections, only above that: from 32768 on
// Linux, from 49152 elsewhere. So the system gives a chosen port to no other process
// before the child listens on it.
const (
	firstPort = 20000
	blockSize = 400 // ports for one process: more than the children it has at the same time
	blocks    = 30
)

// ports is the block of ports of this process.
var ports struct {
	sync.Mutex
	owner net.Listener // listens on the first port of the block, which reserves the block until this process ends
	block int
	next  int
}

// FreePort returns a port of 127.0.0.1 on which no process listens, for a child that
// gets its port from its parent. Each process uses the ports of a block of its own,
// in turn. So no two children get the same port, even if different processes start
// them, unless one process starts hundreds at the same time. FreePort fails if other
// processes own all 30 blocks, or if all ports of the block are in use. It is safe
// for concurrent use.
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
	return "", errors.New("no free port: all ports of this process's block are in use")
}

// ownBlock reserves a block if this process has none yet.
func ownBlock() (err error) {
	if ports.owner != nil {
		return nil
	}
	for i := range blocks {
		// The search begins at a block that depends on the process id. So a client of
		// a process that has ended does not connect to the children of the next one.
		ports.block = (os.Getpid() + i) % blocks
		if ports.owner, err = listen(firstPort + ports.block*blockSize); err == nil {
			return nil
		}
	}
	return errors.New("no free block of ports: " + err.Error())
}

// listen listens on a port of 127.0.0.1.
func listen(port int) (net.Listener, error) {
	return net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
}
