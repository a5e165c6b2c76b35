package emulator

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A NotFoundError says that an emulator is not installed, and what would install it.
type NotFoundError struct {
	Product string   // "Firestore" or "Pub/Sub"
	Missing string   // what was looked for: java or the jar
	Looked  []string // where
}

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("no %s emulator: no %s in %s (needed: java 17 or later, and "+
		"`gcloud components install cloud-firestore-emulator pubsub-emulator` or a folder with the jar files in GEMINIHOOK_EMULATORS)",
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
			found, _ := filepath.Glob(filepath.Join(dir, pattern)) // the patterns are well-formed
			if len(found) > 0 {
				return java, found[len(found)-1], nil
			}
		}
	}
	return "", "", &NotFoundError{p.name, p.jars[0], folders}
}

// folders returns where jars are looked for.
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

// sdkRoot returns where the Google Cloud SDK is installed, "" if it is not.
func sdkRoot(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "gcloud", "info", "--format=value(installation.sdk_root)").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
