package settings

import (
	"context"
	"time"

	"github.com/geminihook/geminihook/shared/dedup"
	"github.com/geminihook/geminihook/shared/publish"
	"github.com/geminihook/geminihook/shared/webhook"
)

const (
	// With a tolerance of less than a minute, a slightly wrong clock causes rejected
	// deliveries. With more than an hour, a captured delivery can be replayed for too
	// long.
	minTolerance = time.Minute
	maxTolerance = time.Hour

	// maxRetention limits the number of records, and their cost.
	maxRetention = 365 * 24 * time.Hour
)

// Common holds the settings that all functions share.
type Common struct {
	Project    string         // GOOGLE_CLOUD_PROJECT: a project's id or number; required
	Database   string         // FIRESTORE_DATABASE: default "(default)"
	Collection string         // FIRESTORE_COLLECTION: default "deliveries"
	Routes     publish.Routes // ROUTES: required
	Tolerance  time.Duration  // TIMESTAMP_TOLERANCE: 1m to 1h; default webhook.DefaultTolerance
	Retention  time.Duration  // RECORD_RETENTION: 24h plus the tolerance, to 365 days; default dedup.DefaultRetention
}

// Common reads the settings that all functions share. The result is valid only if Err
// returns nil. If the process's environment has K_SERVICE, which the platform sets,
// Common also records a fault for each variable of that environment that ends in
// _EMULATOR_HOST. This check does not use Lookup.
func (r *Reader) Common() (c Common) {
	r.refuseEmulators()
	c.Project = r.project("GOOGLE_CLOUD_PROJECT")
	c.Database = Parse(r, "FIRESTORE_DATABASE", dedup.ParseDatabase)
	c.Collection = Parse(r, "FIRESTORE_COLLECTION", dedup.ParseCollection)
	c.Routes = Parse(r, "ROUTES", publish.RoutesIn(c.Project))
	c.Tolerance = r.Duration("TIMESTAMP_TOLERANCE", webhook.DefaultTolerance, minTolerance, maxTolerance)
	c.Retention = r.Duration("RECORD_RETENTION", dedup.DefaultRetention, webhook.RetriedFor+c.Tolerance, maxRetention)
	return c
}

// Open opens the ledger and the publisher. If one fails, it leaves neither open. It
// makes no call to Firestore or Pub/Sub.
func (c Common) Open(ctx context.Context) (o *Opened, err error) {
	o = new(Opened)
	defer o.CloseIf(&err)
	if o.Ledger, err = dedup.Open(ctx, c.Project, c.Database, c.Collection); err != nil {
		return nil, err
	}
	o.Add(o.Ledger)
	o.Ledger.Retention = c.Retention
	if o.Publisher, err = publish.Open(ctx, c.Routes); err != nil {
		return nil, err
	}
	o.Add(o.Publisher)
	return o, nil
}
