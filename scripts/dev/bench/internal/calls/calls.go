// Package calls builds the requests of a delivery's three calls. They have the same
// fields as those of this project's receiver, but use no client library.
package calls

import (
	"context"
	"time"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Where identifies the destination of records and messages.
type Where struct {
	Project    string
	Collection string
	Topic      string // id, not the full name
}

// Dial returns a connection to an emulator at host:port. It connects on the first call.
// The calls have the administrator's credential, like those of the client libraries:
// for other callers the Firestore emulator evaluates its security rules, at a third of
// the speed.
func Dial(addr string) (*grpc.ClientConn, error) {
	return grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithPerRPCCredentials(owner{}))
}

// owner is the credential that the Firestore emulator accepts as an administrator's.
type owner struct{}

func (owner) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer owner"}, nil
}

func (owner) RequireTransportSecurity() bool { return false }

// Claim returns the write of a record that must not exist yet.
func (w Where) Claim(id string, now time.Time) *firestorepb.Write {
	write := w.record(id, "claimed", now)
	write.CurrentDocument = &firestorepb.Precondition{ConditionType: &firestorepb.Precondition_Exists{Exists: false}}
	return write
}

// Mark returns the write that marks a record done.
func (w Where) Mark(id string, now time.Time) *firestorepb.Write { return w.record(id, "done", now) }

// Commit returns the request that commits writes.
func (w Where) Commit(writes ...*firestorepb.Write) *firestorepb.CommitRequest {
	return &firestorepb.CommitRequest{Database: w.database(), Writes: writes}
}

// Publish returns the request that publishes a body.
func (w Where) Publish(id string, body []byte) *pubsubpb.PublishRequest {
	return &pubsubpb.PublishRequest{
		Topic: "projects/" + w.Project + "/topics/" + w.Topic,
		Messages: []*pubsubpb.PubsubMessage{{Data: body, Attributes: map[string]string{
			"ce-specversion":  "1.0",
			"ce-id":           id,
			"ce-source":       "//generativelanguage.googleapis.com/webhooks/static",
			"ce-type":         "video.generated",
			"ce-subject":      "models/veo-3.1-generate-preview/operations/0123456789abcdef0123456789",
			"ce-scheme":       "v1",
			"ce-time":         "2026-01-01T00:00:00Z",
			"ce-receivedtime": "2026-01-01T00:00:00.123456789Z",
			"content-type":    "application/json",
		}}},
	}
}

func (w Where) database() string { return "projects/" + w.Project + "/databases/(default)" }

// record returns the write of a complete record, as large as the receiver's.
func (w Where) record(id, state string, now time.Time) *firestorepb.Write {
	const digest = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	at := &firestorepb.Value{ValueType: &firestorepb.Value_TimestampValue{TimestampValue: timestamppb.New(now)}}
	return &firestorepb.Write{Operation: &firestorepb.Write_Update{Update: &firestorepb.Document{
		Name: w.database() + "/documents/" + w.Collection + "/" + id,
		Fields: map[string]*firestorepb.Value{
			"endpoint":    text("static"),
			"webhook_id":  text(id),
			"type":        text("video.generated"),
			"job_id":      text("models/veo-3.1-generate-preview/operations/" + digest[:26]),
			"body_sha256": text(digest),
			"state":       text(state),
			"owner":       text(digest[:26]),
			"attempts":    {ValueType: &firestorepb.Value_IntegerValue{IntegerValue: 1}},
			"topic":       text("projects/" + w.Project + "/topics/" + w.Topic),
			"message_id":  text("1234567"),
			"claimed_at":  at,
			"done_at":     at,
			"expire_at":   at,
		},
	}}}
}

func text(s string) *firestorepb.Value {
	return &firestorepb.Value{ValueType: &firestorepb.Value_StringValue{StringValue: s}}
}
