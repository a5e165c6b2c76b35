package messages

import (
	"strings"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
)

// What a message does not have is empty in JSON, not null.
func TestJSONOfAnEmptyMessage(t *testing.T) {
	if line := JSON("t", new(pubsubpb.PubsubMessage)); !strings.Contains(line, `"attributes":{},"data":""}`) {
		t.Errorf("%s", line)
	}
}
