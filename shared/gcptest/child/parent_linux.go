package child

import (
	"os/exec"
	"syscall"
)

// endWithParent lets the kernel kill the child when the thread that starts it ends.
// It also puts the child into a process group of its own, so that a terminal's Ctrl-C
// does not end a child that the parent still needs.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
