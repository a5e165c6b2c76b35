package jobs

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// A Kind is a kind of job. It is also the first part of its event types: the kind of
// "batch.succeeded" is "batch".
type Kind string

// The kinds of jobs.
const (
	Batch       Kind = "batch"
	Interaction Kind = "interaction"
	Video       Kind = "video"
)

// MaxName is the maximum length of a job's name, in bytes. The longest names seen have
// about 110.
const MaxName = 512

var (
	// segment matches one part of a name. Dots are allowed because interaction ids end
	// in dots ("v1_ChdOdXRoYXJH…J5Q.."). KindOf also rejects parts that consist of dots
	// only, because "." and ".." in a URL's path lead to another resource.
	segment = regexp.MustCompile(`^[A-Za-z0-9_.~-]+$`)

	errName = errors.New("not a job's name: must be interactions/ID, an interaction's id (v1_…), or models/MODEL/operations/ID")
)

// Parse returns the kind and the full name of the job in the text of a message. The
// text is one of
//   - "interactions/ID",
//   - the id of an interaction, as the SDKs return it, which begins with "v1_",
//   - "models/MODEL/operations/ID", a video operation.
//
// White space around it is ignored. Parse fails for any other text. It rejects batches
// too, because the API can list them.
func Parse(text string) (Kind, string, error) {
	text = strings.TrimSpace(text)
	if len(text) > MaxName {
		return "", "", fmt.Errorf("not a job's name: %d bytes, more than %d", len(text), MaxName)
	}
	if !strings.Contains(text, "/") && strings.HasPrefix(text, "v1_") {
		text = "interactions/" + text
	}
	kind := KindOf(text)
	if kind == "" || kind == Batch {
		return "", "", errName
	}
	return kind, text, nil
}

// KindOf returns the kind of the job with this full name, or "" if name is not the full
// name of a job.
func KindOf(name string) Kind {
	parts := strings.Split(name, "/")
	for _, part := range parts {
		if !segment.MatchString(part) || strings.Trim(part, ".") == "" {
			return ""
		}
	}
	switch {
	case len(name) > MaxName:
		return ""
	case len(parts) == 2 && parts[0] == "batches":
		return Batch
	case len(parts) == 2 && parts[0] == "interactions":
		return Interaction
	case len(parts) == 4 && parts[0] == "models" && parts[2] == "operations":
		return Video
	}
	return ""
}
