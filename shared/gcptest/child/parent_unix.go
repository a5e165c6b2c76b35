//go:build unix && !linux

package child

import (
	"os/exec"
	"syscall"
)

// endWithParent puts the child into a process group of its own, so that a terminal's
// Ctrl-C does not reach it. These systems cannot kill a child together with its
// parent.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}
