package child

import (
	"os/exec"
	"syscall"
)

// endWithParent has the kernel kill the child when the thread that starts it ends. A
// terminal's Ctrl-C does not reach the child: the parent may still need it.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
