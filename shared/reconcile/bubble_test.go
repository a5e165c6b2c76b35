package reconcile

import (
	"testing"
	"testing/synctest"
)

// bubble runs a test on a clock of its own.
func bubble(t *testing.T, test func(t *testing.T)) { synctest.Test(t, test) }
