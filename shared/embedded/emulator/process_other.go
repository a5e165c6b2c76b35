//go:build !linux

package emulator

import "os/exec"

// endWithParent does nothing: other systems have no such thing.
func endWithParent(*exec.Cmd) {}
