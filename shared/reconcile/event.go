package reconcile

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/geminihook/geminihook/shared/webhook"
)

const (
	// maxText is the maximum length of each text in an event's data, in bytes. Longer
	// texts of the API are cut, so that an event stays far below Pub/Sub's 10 MB.
	maxText = 10 << 10

	// maxMetadata is the maximum size of an event's user_metadata, in bytes. Larger
	// metadata is left out, because JSON that is cut is invalid.
	maxMetadata = 64 << 10
)

// envelope is the JSON form of an event, as Gemini sends it. Do not change the order of
// the fields: all passes must produce the same bytes for the same job.
type envelope struct {
	Type      string `json:"type"`
	Version   string `json:"version"`
	Timestamp string `json:"timestamp"`
	Data      struct {
		ID           string `json:"id"`
		OutputURI    string `json:"output_file_uri,omitempty"`
		FileName     string `json:"file_name,omitempty"`
		ErrorCode    string `json:"error_code,omitempty"`
		ErrorMessage string `json:"error_message,omitempty"`
	} `json:"data"`
	Metadata json.RawMessage `json:"user_metadata,omitempty"`
}

// rebuild returns a delivery of the event that follows from a finding. The finding must
// have an event type and a time. as is the form in which the event names its job.
func rebuild(f *finding, as form, now time.Time) *webhook.Delivery {
	var e envelope
	e.Type, e.Version, e.Timestamp = f.eventType, "v1", f.at.UTC().Format(time.RFC3339Nano)
	e.Data.ID = as.write(f.name)
	e.Data.OutputURI, e.Data.FileName = cut(f.output), cut(f.file)
	e.Data.ErrorCode, e.Data.ErrorMessage = cut(f.reason.Code), cut(f.reason.Message)
	if len(f.metadata) <= maxMetadata && json.Valid(f.metadata) && string(f.metadata) != "null" {
		e.Metadata = f.metadata
	}
	body, _ := json.Marshal(&e) // cannot fail: strings and valid JSON only
	return &webhook.Delivery{
		Endpoint:    webhook.ReconciledEndpoint,
		Scheme:      webhook.API,
		ID:          eventID(f),
		Received:    now,
		ContentType: "application/json",
		Body:        body,
		Event:       webhook.ParseEvent(body),
	}
}

// eventID returns the id of the event that follows from a finding. It is a hash of
// data that all passes see alike, so that the ledger recognises the event in each of
// them. A job may require an action several times, so the id of such an event
// includes the time.
func eventID(f *finding) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n%s", f.kind, f.name, f.eventType)
	if f.phase == recurring {
		fmt.Fprintf(h, "\n%s", f.at.UTC().Format(time.RFC3339Nano))
	}
	return "reconciled_" + hex.EncodeToString(h.Sum(nil))
}

// cut returns the first maxText bytes of text.
func cut(text string) string { return text[:min(len(text), maxText)] }
