package dedup

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"time"

	"cloud.google.com/go/firestore"

	"github.com/geminihook/geminihook/shared/webhook"
)

// The states of a record. A state that a later release may add counts as claimed.
const (
	StateClaimed = "claimed" // held by its owner until the lease expires
	StateDone    = "done"    // the message is on its topic
)

// A Record is the state of a delivery, stored in the document that [DocumentID] names.
// During an upgrade instances of two releases use the same records. Therefore fields are
// only added, never removed, and all fields are written, also empty ones.
type Record struct {
	// Endpoint is "static", "dynamic" or "reconciled" (the constants of package
	// webhook). With WebhookID it identifies the delivery, for a JWT also with
	// BodySHA256. Type is the type of its event, and JobID the event's data.id,
	// unchanged. Each is empty if the body does not have it. Endpoint, Type and JobID
	// are indexed, for Any and Done.
	Endpoint  string `firestore:"endpoint"`
	WebhookID string `firestore:"webhook_id"`
	Type      string `firestore:"type"`
	JobID     string `firestore:"job_id"`

	BodySHA256 string `firestore:"body_sha256"` // SHA-256 of the received bytes, in hex
	State      string `firestore:"state"`       // StateClaimed or StateDone
	Owner      string `firestore:"owner"`       // random, new for each claim
	Attempts   int    `firestore:"attempts"`    // number of claims, from 1; starts again if the record has expired

	// Topic is the full name of the topic, and MessageID the id of the Pub/Sub message.
	// Both are empty until the record is done.
	Topic     string `firestore:"topic"`
	MessageID string `firestore:"message_id"`

	// Times of the owner's clock. DoneAt is zero until the record is done. The lease
	// does not depend on ClaimedAt: it runs from the document's update time, by
	// Firestore's clock. After ExpireAt, compared with Firestore's clock, Once ignores
	// the record. Done and Any still find it until the TTL policy deletes it, which may
	// take a day.
	ClaimedAt time.Time `firestore:"claimed_at"`
	DoneAt    time.Time `firestore:"done_at"`
	ExpireAt  time.Time `firestore:"expire_at"`
}

func newRecord(d *webhook.Delivery, owner string, now time.Time, retention time.Duration) Record {
	event := d.Event
	return Record{
		Endpoint:   d.Endpoint,
		WebhookID:  d.ID,
		Type:       event.Type,
		JobID:      event.JobID,
		BodySHA256: bodySHA256(d),
		State:      StateClaimed,
		Owner:      owner,
		ClaimedAt:  now,
		ExpireAt:   now.Add(retention),
	}
}

// DocumentID returns the id of a delivery's document: 64 hex digits, a hash of the
// delivery's endpoint and webhook-id. If the scheme is JWT, the body is part of the hash.
// A JWT does not cover the id. Without the body in the hash, the holder of one JWT could
// use the id of a later delivery, which would then be rejected as a duplicate.
func DocumentID(d *webhook.Delivery) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s", d.Endpoint, d.ID)
	if d.Scheme == webhook.JWT {
		io.WriteString(h, "\n"+bodySHA256(d))
	}
	return hex.EncodeToString(h.Sum(nil))
}

func bodySHA256(d *webhook.Delivery) string {
	sum := sha256.Sum256(d.Body)
	return hex.EncodeToString(sum[:])
}

// updates returns all fields of the record, as an update. A takeover writes all of them,
// so that no field of the previous owner or of an expired record remains.
func (r *Record) updates() []firestore.Update {
	return []firestore.Update{
		{Path: "endpoint", Value: r.Endpoint},
		{Path: "webhook_id", Value: r.WebhookID},
		{Path: "type", Value: r.Type},
		{Path: "job_id", Value: r.JobID},
		{Path: "body_sha256", Value: r.BodySHA256},
		{Path: "state", Value: r.State},
		{Path: "owner", Value: r.Owner},
		{Path: "attempts", Value: r.Attempts},
		{Path: "topic", Value: r.Topic},
		{Path: "message_id", Value: r.MessageID},
		{Path: "claimed_at", Value: r.ClaimedAt},
		{Path: "done_at", Value: r.DoneAt},
		{Path: "expire_at", Value: r.ExpireAt},
	}
}

// snapshot is a record with the times of its last update and of the read. Both are times
// of Firestore's clock, so an age does not depend on the clock of an instance.
type snapshot struct {
	Record
	updated time.Time
	read    time.Time
}

func (s *snapshot) age() time.Duration { return s.read.Sub(s.updated) }
func (s *snapshot) expired() bool      { return s.read.After(s.ExpireAt) }

// A verdict is the meaning of an existing record for a delivery.
type verdict int

const (
	available verdict = iota // the record or its lease has expired: take it over
	ours                     // written by this delivery; the reply was lost
	duplicate                // published before
	mismatch                 // published before, with another body
	busy                     // claimed, and the lease has not expired
)

// decide is the contract's decision table. It is pure, so that the model test can try
// every interleaving.
func decide(seen *snapshot, mine *Record, lease time.Duration) verdict {
	switch {
	case seen.expired():
		return available
	case seen.State == StateDone && seen.BodySHA256 != mine.BodySHA256:
		return mismatch
	case seen.State == StateDone:
		return duplicate
	case seen.Owner == mine.Owner:
		return ours
	case seen.age() < lease:
		return busy
	}
	return available
}
