package terraform

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Facts in the Go code, which tests compare with the configuration.

// logged returns the fields of the functions' log lines, by message.
func logged(t *testing.T) map[string][]string {
	t.Helper()
	fields := map[string][]string{
		"delivery": append(found(t, "../shared/receiver/*.go", `(?:slog\.\w+|\badd)\("(\w+)",`), "message"),
	}
	for _, message := range []string{"refresh failed", "refresh partial"} {
		fields[message] = []string{"message"}
		for _, pairs := range found(t, "../shared/refresh/*.go", `"`+message+`", (.*)\)\n`) {
			for _, field := range regexp.MustCompile(`"(\w+)",`).FindAllStringSubmatch(pairs, -1) {
				fields[message] = append(fields[message], field[1])
			}
		}
	}
	fields["pass"] = append(found(t, "../shared/reconcile/*.go", `slog\.\w+\("(\w+)",`), "message")
	fields["missed job"] = append(found(t, "../shared/reconcile/*.go", `"(\w+)", (?:w\.\w+|what|held)\b`), "message")
	fields["lost job"] = append(found(t, "../shared/reconcile/*.go", `"lost job", "(\w+)", .*"(\w+)", .*"(\w+)",`), "message")
	fields["step failed"] = append(found(t, "../shared/reconcile/*.go", `"step failed", "(\w+)", .*"(\w+)",`), "message")
	return fields
}

// passes are the messages of the lines that a pass logs.
var passes = []string{"pass", "missed job", "lost job", "step failed"}

// functions are the deployed functions, by their folders' names.
var functions = []string{"static", "dynamic", "reconcile"}

// values returns the possible values of log fields that have few.
func values(t *testing.T) map[string][]string {
	t.Helper()
	return map[string][]string{
		"endpoint": found(t, "../shared/webhook/*.go", `Endpoint += "(\w+)"`),
		"scheme":   found(t, "../shared/webhook/*.go", ` Scheme = "(\w+)"`),
		"outcome":  found(t, "../shared/receiver/*.go", `outcome: +"(\w+)"`),
		"step":     found(t, "../shared/webhook/*.go", ` Step += "(\w+)"`),
		"reason":   found(t, "../shared/webhook/*.go", ` Reason = "(\w+)"`),
	}
}

// valuesOf returns the possible values of the fields in lines with a message. The lines
// of a refresh have other reasons than those of a delivery.
func valuesOf(t *testing.T, message string) map[string][]string {
	t.Helper()
	switch message {
	case "missed job":
		return map[string][]string{"action": found(t, "../shared/reconcile/*.go", ` action = "(\w+)"`)}
	case "pass", "lost job", "step failed":
		return nil
	case "refresh failed":
		return map[string][]string{
			"reason": found(t, "../shared/refresh/*.go", `\t+return "(\w+)"\n`),
			"of":     append(found(t, "../functions/*/function.go", `"((?:signing|url) \w+)"`), found(t, "../shared/jwks/*.go", `Name: "([^"]+)"`)...),
		}
	}
	return values(t)
}

var eventTypes = []string{"batch.succeeded", "batch.failed", "batch.expired", "batch.cancelled", "interaction.completed",
	"interaction.requires_action", "interaction.failed", "interaction.cancelled", "video.generated"}

// found returns the texts that the pattern's groups match in files that are not tests,
// each once. It fails if there is no match.
func found(t *testing.T, files, pattern string) (all []string) {
	t.Helper()
	paths, _ := filepath.Glob(files)
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(read(t, path), -1) {
			for _, group := range m[min(1, len(m)-1):] {
				if !slices.Contains(all, group) {
					all = append(all, group)
				}
			}
		}
	}
	if len(all) == 0 {
		t.Fatalf("no match in %s for %s", files, pattern)
	}
	return all
}
