package jobs

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// A Kind is a kind of job. It is also the first part of the types of its events.
type Kind string

// The kinds.
const (
	Batch       Kind = "batch"
	Interaction Kind = "interaction"
	Video       Kind = "video"
)

// MaxName bounds a job's name, in bytes. The longest real ones have about 110.
const MaxName = 512

var (
	// Real interaction ids end in dots: "v1_ChdOdXRoYXJH…J5Q..". Only-dots is excluded
	// below: as part of a path it would lead elsewhere.
	segment = regexp.MustCompile(`^[A-Za-z0-9_.~-]+$`)

	errName = errors.New("not a job's name: interactions/ID, an interaction's id (v1_…), or models/MODEL/operations/ID")
)

// Parse returns the kind and the name of the job that a message names: "interactions/ID",
// the id of an interaction as the SDKs return it, which begins with "v1_", or
// "models/MODEL/operations/ID". White space around it is dropped. It fails for anything
// else, a batch included: batches are listed by the API.
func Parse(text string) (Kind, string, error) {
	text = strings.TrimSpace(text)
	if len(text) > MaxName {
		return "", "", fmt.Errorf("not a job's name: %d bytes, of at most %d", len(text), MaxName)
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

// KindOf returns the kind of the job that has this full name, or "" if no job's name has
// this form.
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
