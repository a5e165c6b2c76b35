package emulator

import (
	"os/exec"
	"syscall"
)

// endWithParent has the child killed when the thread that starts it ends, and keeps a terminal's Ctrl-C from it, so that who
// uses the emulator can end first.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
