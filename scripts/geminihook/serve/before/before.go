// Package before runs before the functions' packages do, whose initialisation
// looks at the process: it would start the warm-up and the SIGTERM handler of a
// function that a developer's FUNCTION_TARGET names, and it keeps os.Stderr to
// log on.
//
// That it runs first is the language's rule, not luck: packages are initialised in
// the order of their import paths as soon as all that they import is. This one
// imports nothing but os, and its path sorts before those of the gRPC packages
// that the functions wait for. So it must stay free of other imports.
package before

import "os"

// The standard streams of the process. os.Stdout and os.Stderr are no longer
// these: the framework prints to the one, the functions log to the other, and both
// come out of Logs.
var (
	Stdout = os.Stdout
	Stderr = os.Stderr
)

// Logs is what is written to os.Stdout and os.Stderr. Somebody must read it.
var Logs *os.File

func init() {
	// Another command than serve keeps its streams. A test's process may be a function.
	serves := len(os.Args) > 1 && os.Args[1] == "serve"
	if name := os.Args[0]; len(name) > 5 && name[len(name)-5:] == ".test" {
		return
	}
	for _, name := range []string{"FUNCTION_TARGET", "K_SERVICE", "PORT"} {
		os.Unsetenv(name)
	}
	if !serves {
		return
	}
	r, w, err := os.Pipe()
	if err != nil {
		panic(err) // no file descriptors left: nothing else would work
	}
	Logs, os.Stdout, os.Stderr = r, w, w
}
