// Package target unsets FUNCTION_TARGET in processes that are not an instance of a
// function. A developer's shell may set this variable, and the packages of the
// functions read it during initialisation. In a command that is not a function, they
// would then warm up the function and end the process on SIGTERM.
//
// The package must be initialised before those of the functions. Go initialises
// packages in the order of their import paths, each one as soon as its imports are
// initialised. This package imports only os, and its path sorts before those of the
// gRPC packages, which the functions import. Do not add other imports.
package target

import "os"

// Listen is the name of the environment variable that makes a process an instance.
// Its value is the HOST:PORT on which the process serves the function
// FUNCTION_TARGET.
const Listen = "GEMINIHOOK_LISTEN"

func init() {
	if os.Getenv(Listen) == "" {
		os.Unsetenv("FUNCTION_TARGET")
	}
}
