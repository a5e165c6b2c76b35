// Package sdktest installs the official Gemini SDK for JavaScript, for tests.
package sdktest

import (
	"context"
	"os/exec"
	"testing"
	"time"
)

// javaScript is the npm package and its version.
const javaScript = "@google/genai@2.32.0"

// installTimeout is the timeout of the installation, which may need the network.
const installTimeout = 45 * time.Second

// JavaScript returns a temporary folder in which scripts can import @google/genai. It
// skips the test if node or npm is missing, or if npm cannot install the package.
func JavaScript(t *testing.T) (dir string) {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("JavaScript SDK not tested: %s is not installed", program)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), installTimeout)
	defer cancel()
	dir = t.TempDir()
	npm := exec.CommandContext(ctx, "npm", "install", "--no-audit", "--no-fund", "--prefer-offline", "--fetch-retries=0", "--prefix", dir, javaScript)
	npm.WaitDelay = time.Second
	if out, err := npm.CombinedOutput(); err != nil {
		t.Skipf("JavaScript SDK not tested: npm cannot install it: %v\n%s", err, out)
	}
	return dir
}
