package publish

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// fallback is the key of the route for all types without a route of their own.
const fallback = "*"

var errNoFallback = fmt.Errorf("no topic for %q (all other types)", fallback)

// Routes maps event types to full topic names. A key is a type, the part of a type before
// any of its dots, or "*" for all other types. The key "*" is required.
type Routes map[string]string

var (
	routeKey = regexp.MustCompile(`^(\*|[a-z0-9_]+(\.[a-z0-9_]+)*)$`)

	// Pub/Sub's rule for the id of a topic: 3 to 255 characters, the first a letter, not
	// beginning with "goog". The length is checked separately: an expression with {2,254}
	// takes longer to compile than everything else that a function does at start.
	topicID = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._~%+-]+$`)
)

const minTopicID, maxTopicID = 3, 255

// RoutesIn returns a parser for text such as
// "batch=geminihook-batch,video.generated=clips,*=geminihook-other". A topic is the id of a
// topic in project, or a full name, projects/P/topics/T. The parser's error contains all
// faults.
func RoutesIn(project string) func(text string) (Routes, error) {
	return func(text string) (Routes, error) { return parseRoutes(text, project) }
}

func parseRoutes(text, project string) (Routes, error) {
	routes := make(Routes)
	var faults []error
	for entry := range strings.SplitSeq(text, ",") {
		key, topic, ok := strings.Cut(strings.TrimSpace(entry), "=")
		switch {
		case !ok || !routeKey.MatchString(key):
			faults = append(faults, fmt.Errorf("%q is not of the form TYPE=TOPIC", entry))
			continue
		case routes[key] != "":
			faults = append(faults, fmt.Errorf("%q has two topics", key))
			continue
		}
		name, err := topicName(topic, project)
		if err != nil {
			faults = append(faults, err)
		}
		routes[key] = name
	}
	if _, ok := routes[fallback]; !ok {
		faults = append(faults, errNoFallback)
	}
	return routes, errors.Join(faults...)
}

func topicName(topic, project string) (string, error) {
	id := topic
	if parts := strings.Split(topic, "/"); len(parts) == 4 && parts[0] == "projects" && parts[1] != "" && parts[2] == "topics" {
		project, id = parts[1], parts[3]
	}
	if !topicID.MatchString(id) || len(id) < minTopicID || len(id) > maxTopicID || strings.HasPrefix(id, "goog") {
		return "", fmt.Errorf("%q is not a topic", topic)
	}
	return "projects/" + project + "/topics/" + id, nil
}

// Topic returns the full name of the topic for an event type. The longest key that equals
// the type, or the part of it before any of its dots, wins. If r has no such key and no
// "*", Topic returns "".
func (r Routes) Topic(eventType string) string {
	for key := eventType; key != ""; {
		if topic, ok := r[key]; ok {
			return topic
		}
		key = key[:max(strings.LastIndexByte(key, '.'), 0)]
	}
	return r[fallback]
}
