package emulator

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A NotFoundError means that an emulator, or java, is not installed.
type NotFoundError struct {
	Product string   // "Firestore" or "Pub/Sub"
	Missing string   // "java", or the pattern of the jar's name
	Looked  []string // folders that were searched, or "PATH"
}

// Error returns the missing program and the commands that install it.
func (e *NotFoundError) Error() string {
	return fmt.Sprintf("no %s emulator: %s not found in %s (install java 17 or later, and run "+
		"`gcloud components install cloud-firestore-emulator pubsub-emulator` or set GEMINIHOOK_EMULATORS to a folder with the jar files)",
		e.Product, e.Missing, strings.Join(e.Looked, ", "))
}

// find returns the java program and the product's newest jar.
func (p product) find(ctx context.Context) (java, jar string, err error) {
	java, err = exec.LookPath("java")
	if err != nil {
		return "", "", &NotFoundError{p.name, "java", []string{"PATH"}}
	}
	folders := folders(ctx)
	for _, dir := range folders {
		for _, pattern := range p.jars {
			found, _ := filepath.Glob(filepath.Join(dir, pattern)) // cannot fail: the patterns are valid
			if len(found) > 0 {
				return java, found[len(found)-1], nil
			}
		}
	}
	return "", "", &NotFoundError{p.name, p.jars[0], folders}
}

// folders returns the folders that are searched for jars.
func folders(ctx context.Context) (dirs []string) {
	if dir := os.Getenv("GEMINIHOOK_EMULATORS"); dir != "" {
		return []string{dir}
	}
	if dir := sdkRoot(ctx); dir != "" {
		dirs = append(dirs, dir)
	}
	if home, err := os.UserHomeDir(); err == nil {
		dirs = append(dirs, filepath.Join(home, ".cache", "firebase", "emulators"))
	}
	return dirs
}

// sdkRoot returns the folder of the Google Cloud SDK, or "" if it is not installed.
func sdkRoot(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "gcloud", "info", "--format=value(installation.sdk_root)").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
