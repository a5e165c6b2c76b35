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
	// maxText bounds, in bytes, each text of an event that comes from the API.
	maxText = 10 << 10

	// maxMetadata bounds the metadata of an event, in bytes.
	maxMetadata = 64 << 10
)

// envelope is an event as the sender writes it. The order of the fields is part of the
// contract: the same job gives the same bytes in every pass.
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

// rebuild returns the delivery of the event that follows from a finding, which must have
// an event and a time. as is the form of its job's name.
func rebuild(f *finding, as form, now time.Time) *webhook.Delivery {
	var e envelope
	e.Type, e.Version, e.Timestamp = f.eventType, "v1", f.at.UTC().Format(time.RFC3339Nano)
	e.Data.ID = as.write(f.name)
	e.Data.OutputURI, e.Data.FileName = cut(f.output), cut(f.file)
	e.Data.ErrorCode, e.Data.ErrorMessage = cut(f.reason.Code), cut(f.reason.Message)
	if len(f.metadata) <= maxMetadata && json.Valid(f.metadata) && string(f.metadata) != "null" {
		e.Metadata = f.metadata
	}
	body, _ := json.Marshal(&e) // of strings and valid JSON: it cannot fail
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

// eventID returns the id of the event that follows from a finding. It depends on nothing
// that two passes may see differently, so that they publish it once. What requires an
// action may do so again: the time is part of that id.
func eventID(f *finding) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n%s", f.kind, f.name, f.eventType)
	if f.phase == recurring {
		fmt.Fprintf(h, "\n%s", f.at.UTC().Format(time.RFC3339Nano))
	}
	return "reconciled_" + hex.EncodeToString(h.Sum(nil))
}

func cut(text string) string { return text[:min(len(text), maxText)] }
