// Command emulators starts Google's official Firestore and Pub/Sub emulators, runs a
// command with them, and stops them. All tests of one `go test ./...` can then share
// one pair of emulators.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"

	"github.com/geminihook/geminihook/shared/gcptest/emulator"
)

const usage = `Usage: go run ./scripts/dev/emulators [-if-found] [--] COMMAND [ARGS...]

Starts Google's official Firestore and Pub/Sub emulators, runs COMMAND with
FIRESTORE_EMULATOR_HOST and PUBSUB_EMULATOR_HOST set, and stops the emulators. If a
variable is already set, its emulator is used and keeps running.

SIGINT, SIGTERM and SIGHUP are forwarded to COMMAND. go run does not forward signals; to
send one, build this program first.

Exit status: COMMAND's; 128 plus the signal's number if a signal ended it; 126 or 127 if
it cannot be run; 1 if the emulators cannot be started.

The emulators need Java 17 or later and
    gcloud components install cloud-firestore-emulator pubsub-emulator
or their jar files in the folder that GEMINIHOOK_EMULATORS names.

Examples:
    go run ./scripts/dev/emulators -- go test ./...
    go run ./scripts/dev/emulators -if-found -- go test ./...

Flags:
`

func main() {
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), usage)
		flag.PrintDefaults()
	}
	ifFound := flag.Bool("if-found", false, "if an emulator is not installed, print a warning and run COMMAND without emulators")
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	os.Exit(run(*ifFound, flag.Args()))
}

// passedOn are the signals that are forwarded to the command.
var passedOn = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}

// run runs the command with the emulators, and returns the exit status.
func run(ifFound bool, command []string) int {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, passedOn...)
	defer signal.Stop(signals)

	env, stop, err := start()
	defer stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "emulators:", err)
		if missing := new(emulator.NotFoundError); !ifFound || !errors.As(err, &missing) {
			return 1
		}
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), env...)
	return wait(cmd, signals)
}

// start starts both emulators and returns their environment variables. If one fails to
// start, or a signal arrives meanwhile, it stops both and returns an error.
func start() (env []string, stop func(), err error) {
	ctx, cancel := signal.NotifyContext(context.Background(), passedOn...)
	defer cancel()
	var addrs [2]string
	var stops [2]func()
	var errs [2]error
	var wg sync.WaitGroup
	wg.Go(func() { addrs[0], stops[0], errs[0] = emulator.Firestore(ctx) })
	wg.Go(func() { addrs[1], stops[1], errs[1] = emulator.PubSub(ctx) })
	wg.Wait()
	stop = func() {
		stops[0]()
		stops[1]()
	}
	if errs != [2]error{} {
		stop()
		return nil, func() {}, cmp.Or(errs[:]...)
	}
	return []string{"FIRESTORE_EMULATOR_HOST=" + addrs[0], "PUBSUB_EMULATOR_HOST=" + addrs[1]}, stop, nil
}

// wait runs cmd, forwards signals to it, and returns its exit status as a shell would.
// The command receives a terminal's Ctrl-C twice: from the terminal and from wait.
func wait(cmd *exec.Cmd, signals <-chan os.Signal) int {
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "emulators:", err)
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
			return 127
		}
		return 126
	}
	go func() {
		for s := range signals {
			cmd.Process.Signal(s) // fails only if the process has ended
		}
	}()
	cmd.Wait()
	return status(cmd.ProcessState)
}

func status(state *os.ProcessState) int {
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return state.ExitCode()
}
