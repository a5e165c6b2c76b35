//go:build unix && !linux

package child

import (
	"os/exec"
	"syscall"
)

// endWithParent cannot have the child killed with its parent: these systems have no
// such request. As on Linux, a terminal's Ctrl-C does not reach the child.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}
