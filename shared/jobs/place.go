package jobs

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
)

// resourceID is Pub/Sub's rule for the id of a topic or a subscription, but for its
// length, and "goog" at the start.
var resourceID = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._~%+-]+$`)

const minResourceID, maxResourceID = 3, 255

// SubscriptionIn returns a parser of the id of a subscription in a project, fallback if
// it is empty. It returns the full name, projects/P/subscriptions/S.
func SubscriptionIn(project, fallback string) func(text string) (string, error) {
	return resourceIn(project, "subscriptions", fallback)
}

// TopicIn is SubscriptionIn for topics.
func TopicIn(project, fallback string) func(text string) (string, error) {
	return resourceIn(project, "topics", fallback)
}

func resourceIn(project, collection, fallback string) func(text string) (string, error) {
	return func(text string) (string, error) {
		id := cmp.Or(text, fallback)
		if !resourceID.MatchString(id) || len(id) < minResourceID || len(id) > maxResourceID || strings.HasPrefix(id, "goog") {
			return "", fmt.Errorf("%.300q is not an id in %s", id, collection)
		}
		return "projects/" + project + "/" + collection + "/" + id, nil
	}
}
