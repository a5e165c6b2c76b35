//go:build !unix

package child

import "os/exec"

// endWithParent does nothing: these systems have neither of the two requests.
func endWithParent(*exec.Cmd) {}
