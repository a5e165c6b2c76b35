package docs_test

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// price is the last column of a row of a cost table.
var price = regexp.MustCompile(`\| (\*\*)?(\d+\.\d\d)(\*\*)? \|$`)

// The rows of a cost table add up to its last one, "together".
func TestCostsAddUp(t *testing.T) {
	t.Chdir("..")
	found := 0
	for name, text := range pages(t) {
		sum := 0.0
		for line := range strings.Lines(text) {
			match := price.FindStringSubmatch(strings.TrimSpace(line))
			switch {
			case match == nil:
				sum = 0
			case strings.HasPrefix(line, "| **together**"):
				found++
				if want, _ := strconv.ParseFloat(match[2], 64); math.Abs(sum-want) > 0.001 {
					t.Errorf("%s: the rows add up to %.2f, not %s", name, sum, match[2])
				}
			default:
				dollars, _ := strconv.ParseFloat(match[2], 64)
				sum += dollars
			}
		}
	}
	if found == 0 {
		t.Error("no page has a cost table")
	}
}
