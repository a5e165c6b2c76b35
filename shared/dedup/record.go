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

// A Record is what the ledger stores of a delivery, in the document that [DocumentID]
// names. Instances of two releases run side by side during an upgrade: fields are only
// ever added, and each is written whether it is empty or not.
type Record struct {
	// Endpoint and WebhookID are the delivery's, Type and JobID its event's; both of the
	// latter are empty if the body describes no event. Endpoint, Type and JobID are
	// indexed, for Any and Done.
	Endpoint  string `firestore:"endpoint"`
	WebhookID string `firestore:"webhook_id"`
	Type      string `firestore:"type"`
	JobID     string `firestore:"job_id"`

	BodySHA256 string `firestore:"body_sha256"` // of the bytes received, in hex
	State      string `firestore:"state"`       // StateClaimed or StateDone
	Owner      string `firestore:"owner"`       // random, one a claim
	Attempts   int    `firestore:"attempts"`    // claims so far, from 1

	// Topic, by its full name, and MessageID are those of the message; empty until the
	// record is done.
	Topic     string `firestore:"topic"`
	MessageID string `firestore:"message_id"`

	// Times of the owner's clock. DoneAt is zero until the record is done. After ExpireAt
	// the record counts for nothing, and the TTL policy deletes it at some time.
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

// DocumentID names a delivery's record, in 64 hex digits, by the delivery's endpoint and
// id; and by its body if its scheme is JWT. An id is the sender's promise for one
// endpoint, but a JWT binds no id: without the body, a holder of one JWT could use up
// the id of a delivery to come.
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

// updates are what a takeover writes: all that a claim says. It never says done,
// since only a record that is not done is taken over, or an expired one, of which
// nothing may remain.
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

// sighting is a record as it was read. Both times are the server's: ages taken
// from them do not depend on the clock of any instance.
type sighting struct {
	Record
	updated time.Time
	read    time.Time
}

func (s *sighting) age() time.Duration { return s.read.Sub(s.updated) }
func (s *sighting) expired() bool      { return s.read.After(s.ExpireAt) }

// A verdict says what a record means to a delivery that came later.
type verdict int

const (
	available verdict = iota // the record or its lease has expired: take it over
	ours                     // our own write, whose reply got lost
	duplicate                // published before
	mismatch                 // published before, with another body
	busy                     // held, and the lease has not expired
)

// decide is the whole of the contract's judgement. It is pure, so that every
// interleaving can be tried on it.
func decide(seen *sighting, mine *Record, lease time.Duration) verdict {
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
