//go:build !unix

package child

import "os/exec"

// endWithParent changes no setting: these systems can neither kill a child together
// with its parent nor put it into a process group.
func endWithParent(*exec.Cmd) {}
