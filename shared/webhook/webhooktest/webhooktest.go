// Package webhooktest imitates the sender. It makes ids, secrets, signing keys, and
// events in Gemini's format. It signs and sends deliveries, and serves the public keys
// with which they are verified. Tests, the simulator and examples use it. It is not
// part of any deployed function.
package webhooktest

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Types are the nine documented event types. Two of them cannot be subscribed to, but
// may be delivered: batch.cancelled and interaction.cancelled.
var Types = []string{
	"batch.succeeded", "batch.failed", "batch.expired", "batch.cancelled",
	"interaction.completed", "interaction.requires_action", "interaction.failed", "interaction.cancelled",
	"video.generated",
}

// NewID returns a new webhook-id in the format of live deliveries.
func NewID() string { return "msg_" + uuid.NewString() }

// NewSecret returns a new signing secret in the format of the Gemini API.
func NewSecret() string {
	key := make([]byte, 32)
	rand.Read(key)
	return "whsec_" + base64.StdEncoding.EncodeToString(key)
}

// NewEvent returns the body of a new event with a random id and the fields that the
// documentation lists for its type. For an unknown type, data contains only the id.
func NewEvent(eventType string) []byte {
	body, err := json.Marshal(struct {
		Type      string            `json:"type"`
		Version   string            `json:"version"`
		Timestamp time.Time         `json:"timestamp"`
		Data      map[string]string `json:"data"`
	}{eventType, "v1", time.Now().UTC().Truncate(time.Second), eventData(eventType)})
	if err != nil {
		panic(err) // strings and a time of this age always marshal
	}
	return body
}

// eventData returns the documented fields of an event's data.
func eventData(eventType string) map[string]string {
	id := strings.ToLower(rand.Text())
	kind, what, _ := strings.Cut(eventType, ".")
	data := make(map[string]string)
	switch kind {
	case "batch":
		data["id"] = "batches/" + id
	case "interaction":
		data["id"] = "v1_" + id
	case "video":
		data["id"] = "models/veo-3.1-generate-preview/operations/" + id
		data["file_name"] = "files/" + id[:12]
	default:
		data["id"] = id
	}
	switch what {
	case "succeeded", "generated":
		data["output_file_uri"] = "https://generativelanguage.googleapis.com/v1beta/files/" + id[:12] + ":download"
	case "failed":
		data["error_code"] = "INTERNAL"
		data["error_message"] = "The model could not finish."
	}
	return data
}

// Header returns the three headers of a delivery and a content type, with the given
// signature, for example an invalid one.
func Header(id string, at time.Time, signature string) http.Header {
	return header(id, Timestamp(at), signature)
}

func header(id, timestamp, signature string) http.Header {
	return http.Header{
		"Webhook-Id":        {id},
		"Webhook-Timestamp": {timestamp},
		"Webhook-Signature": {signature},
		"Content-Type":      {"application/json"},
	}
}

// Timestamp returns a time in the format of the webhook-timestamp header: Unix
// seconds.
func Timestamp(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }

// IsObject reports whether a body is a JSON object, as [Claims] requires.
func IsObject(body []byte) bool {
	var object map[string]json.RawMessage
	return json.Unmarshal(body, &object) == nil && object != nil
}

// Claims returns the claims of a JWT that carries the event in body: for the
// audience, issued now, valid for five minutes. It panics if body is not a JSON
// object.
func Claims(audience string, now time.Time, body []byte) map[string]any {
	claims := make(map[string]any)
	if err := json.Unmarshal(body, &claims); err != nil {
		panic(fmt.Sprintf("webhooktest: body is not a JSON object: %v", err))
	}
	claims["aud"] = audience
	claims["iat"] = now.Unix()
	claims["exp"] = now.Add(5 * time.Minute).Unix()
	return claims
}
