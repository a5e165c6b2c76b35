package messages

import (
	"strings"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
)

// In JSON, missing attributes and missing data are empty, not null.
func TestJSONOfAnEmptyMessage(t *testing.T) {
	if line := JSON("t", new(pubsubpb.PubsubMessage)); !strings.Contains(line, `"attributes":{},"data":""}`) {
		t.Errorf("JSON of an empty message: %s", line)
	}
}
