// Package target clears FUNCTION_TARGET in every process that is not an instance of a
// function. A developer's shell may set that variable, and the functions' packages
// read it when they are initialised: they would warm a function up, and end the
// process on SIGTERM, in a command that is no function.
//
// The package must be initialised before those of the functions. Go initialises
// packages in the order of their import paths, each as soon as all its imports are.
// This package imports only os, and its path sorts before those of the gRPC packages,
// which the functions import. Keep it free of other imports.
package target

import "os"

// Listen is the variable that makes a process an instance: the HOST:PORT on which it
// serves the function that FUNCTION_TARGET names.
const Listen = "GEMINIHOOK_LISTEN"

func init() {
	if os.Getenv(Listen) == "" {
		os.Unsetenv("FUNCTION_TARGET")
	}
}
