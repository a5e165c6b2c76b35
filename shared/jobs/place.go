package jobs

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
)

// resourceID matches the characters that Pub/Sub allows in the id of a topic or a
// subscription. The length and the reserved prefix "goog" are checked apart.
var resourceID = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._~%+-]+$`)

// Pub/Sub's bounds on the length of an id, in bytes.
const minResourceID, maxResourceID = 3, 255

// SubscriptionIn returns a function that turns the id of a subscription in a project
// into its full name, projects/P/subscriptions/S. If the id is empty, fallback is
// used in its place. The function fails if Pub/Sub does not allow the id.
func SubscriptionIn(project, fallback string) func(text string) (string, error) {
	return resourceIn(project, "subscriptions", fallback)
}

// TopicIn is like [SubscriptionIn], for topics: the full name is projects/P/topics/T.
func TopicIn(project, fallback string) func(text string) (string, error) {
	return resourceIn(project, "topics", fallback)
}

func resourceIn(project, collection, fallback string) func(text string) (string, error) {
	return func(text string) (string, error) {
		id := cmp.Or(text, fallback)
		if !resourceID.MatchString(id) || len(id) < minResourceID || len(id) > maxResourceID || strings.HasPrefix(id, "goog") {
			return "", fmt.Errorf("%.300q is not a Pub/Sub id for %s: it must have %d to %d characters and begin with a letter, but not with goog",
				id, collection, minResourceID, maxResourceID)
		}
		return "projects/" + project + "/" + collection + "/" + id, nil
	}
}
