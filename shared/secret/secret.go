// Package secret provides the current values of a secret in Secret Manager.
//
// All enabled secret versions are accepted, so that a rotation has no gap: a new
// version is added, both are accepted, and the old version is disabled afterwards.
package secret

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/geminihook/geminihook/shared/dial"
	"github.com/geminihook/geminihook/shared/loopback"
	"github.com/geminihook/geminihook/shared/refresh"
)

const (
	// MaxVersions is the maximum number of enabled versions that are read, newest
	// first. It limits the work for one forged request. No normal rotation has that
	// many.
	MaxVersions = 64

	// maxReads is the number of versions that are read concurrently, so that all of
	// them are read within the timeout of one refresh.
	maxReads = 8

	// staleIfError is the time for which values are used while Secret Manager is
	// unavailable. A version that is disabled during an outage is accepted for at
	// most this time.
	staleIfError = time.Hour
)

// EmulatorHost is the environment variable with the address of a Secret Manager
// emulator. Google's clients have such variables for Firestore and Pub/Sub, but not
// for Secret Manager.
const EmulatorHost = "SECRET_MANAGER_EMULATOR_HOST"

// Open returns a cache of the values of a secret: its enabled versions, parsed by
// parse. secret is a short id in project, or a full name, projects/P/secrets/S. label
// names the secret in errors and in the log. Open makes no call to Secret Manager;
// the cache fetches the values on first use. It fails if secret is not a name, or as
// [NewClient] does. opts have precedence over the options of [NewClient]. Close the
// cache to close its client.
//
// If Secret Manager is unavailable, the values are used for one hour.
//
// A new version is accepted at most a minute after Secret Manager lists it. The list
// may be minutes old. Until the new version is listed, Find returns false for its
// value, or fails with an error that wraps refresh.ErrPartial if Secret Manager already
// returns the new version as "latest".
//
// Versions are skipped if parse rejects them, if Secret Manager lists them as enabled
// but answers NotFound or FailedPrecondition when they are read, and if they are the
// oldest ones of more than MaxVersions. Any other error of a read fails the whole
// refresh. If any version is skipped, and no other version matches, Find fails with an
// error that wraps refresh.ErrPartial. It names the newest version that parse rejected,
// or the limit; of versions that cannot be read it gives only the number. If no version
// is left, there are two cases. If one of the skipped versions could not be read, the
// refresh fails as if Secret Manager were unavailable. Otherwise the values in memory
// are dropped, and Find fails with refresh.ErrNone. Errors of parse must not contain
// the value, because they are logged.
func Open[T any](ctx context.Context, label, project, secret string, parse func([]byte) (T, error), log *slog.Logger, opts ...option.ClientOption) (*refresh.Cache[T], error) {
	name, err := Name(project, secret)
	if err != nil {
		return nil, err
	}
	client, err := NewClient(ctx, opts...)
	if err != nil {
		return nil, err
	}
	s := source[T]{client: client, name: name, parse: parse}
	return &refresh.Cache[T]{Name: label, Fetch: s.fetch, StaleIfError: staleIfError, Source: client, Log: log}, nil
}

// NewClient returns a client for Secret Manager. If SECRET_MANAGER_EMULATOR_HOST is
// set, the client connects to that address without credentials; NewClient fails
// unless it is a loopback address. opts have precedence over the other options.
func NewClient(ctx context.Context, opts ...option.ClientOption) (*secretmanager.Client, error) {
	emulated, err := emulatorOptions()
	if err != nil {
		return nil, err
	}
	client, err := secretmanager.NewClient(ctx, slices.Concat(dial.Options(), emulated, opts)...)
	if err != nil {
		return nil, fmt.Errorf("secret manager client: %w", err)
	}
	client.CallOptions.ListSecretVersions = append(client.CallOptions.ListSecretVersions, retry())
	client.CallOptions.AccessSecretVersion = append(client.CallOptions.AccessSecretVersion, retry())
	return client, nil
}

// retry retries a read soon after its connection failed, or its quota was exceeded.
// By default the client does not retry a list, and it retries a read of a version
// only after up to two seconds, which is the whole timeout of a refresh.
func retry() gax.CallOption {
	return gax.WithRetry(func() gax.Retryer {
		return gax.OnCodes([]codes.Code{codes.Unavailable, codes.ResourceExhausted}, gax.Backoff{
			Initial:    50 * time.Millisecond,
			Max:        time.Second,
			Multiplier: 2,
		})
	})
}

// Name returns the full name of a secret, projects/P/secrets/S. secret is a full name
// or a short id in project. Name fails for anything else, including the name of a
// version, because all enabled versions are read, and for an id that begins with
// "whsec_" as a signing secret does. The error does not repeat secret, which may be a
// secret's value, entered by mistake.
func Name(project, secret string) (string, error) {
	id := secret
	if parts := strings.Split(secret, "/"); len(parts) == 4 && parts[0] == "projects" && parts[1] != "" && parts[2] == "secrets" {
		project, id = parts[1], parts[3]
	}
	switch {
	case strings.HasPrefix(id, valuePrefix):
		return "", errors.New("a secret's value, not its name: keep the value in Secret Manager, and give the name")
	case id == "" || len(id) > maxID || strings.Trim(id, idCharacters) != "":
		return "", errors.New("not the name of a secret: want a short id or projects/P/secrets/S")
	}
	return "projects/" + project + "/secrets/" + id, nil
}

// NameIn returns [Name] for one project.
func NameIn(project string) func(secret string) (string, error) {
	return func(secret string) (string, error) { return Name(project, secret) }
}

const (
	// Secret Manager's rule for the id of a secret: at most 255 of these characters.
	maxID        = 255
	idCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"

	// valuePrefix is the prefix of Standard Webhooks signing secrets. Some of these
	// values are also valid ids.
	valuePrefix = "whsec_"
)

// source fetches the values of one secret.
type source[T any] struct {
	client *secretmanager.Client
	name   string
	parse  func([]byte) (T, error)
}

// fetch returns the values of the enabled versions, newest first. The alias "latest"
// alone is not enough: it is the newest version even if that is disabled, and it is
// only one version.
//
// fetch reads the newest version concurrently with the list, because it is usually
// the current one. This saves a round trip at a cold start.
//
// In Secret Manager only access by version number is strongly consistent. A list and
// "latest" may be minutes old. If they contradict each other or the reads, a current
// version may be missing, so fetch returns ErrPartial.
func (s *source[T]) fetch(ctx context.Context) ([]T, error) {
	newest := s.readNewest(ctx)
	versions, err := s.list(ctx)
	if err != nil {
		return nil, err
	}
	var (
		read     = versions[:min(len(versions), MaxVersions)]
		values   []T
		unusable []error
		gone     int
	)
	for i, payload := range s.readAll(ctx, read, newest) {
		switch {
		case errors.Is(payload.err, errGone):
			gone++
			continue
		case payload.err != nil:
			return nil, payload.err
		}
		value, err := s.parse(payload.data)
		if err != nil {
			unusable = append(unusable, fmt.Errorf("%s: %w", read[i], err))
			continue
		}
		values = append(values, value)
	}
	latest := newest().GetName()
	switch {
	case len(values) == 0 && gone > 0:
		return nil, fmt.Errorf("%s: %d versions are listed as enabled, but none can be read", s.name, gone)
	case len(values) == 0:
		return nil, fmt.Errorf("%w: %s has no enabled version that is usable%s", refresh.ErrNone, s.name, newestOf(unusable))
	case len(unusable) > 0:
		return values, fmt.Errorf("%w: %d of %d enabled versions are not usable%s", refresh.ErrPartial, len(unusable), len(read), newestOf(unusable))
	case len(versions) > len(read):
		return values, fmt.Errorf("%w: %s has more than %d enabled versions: disable old ones", refresh.ErrPartial, s.name, MaxVersions)
	case gone > 0:
		return values, fmt.Errorf("%w: %d of the versions listed as enabled cannot be read", refresh.ErrPartial, gone)
	case latest != "" && !slices.Contains(versions, latest):
		return values, fmt.Errorf("%w: %s is enabled, but not listed yet", refresh.ErrPartial, latest)
	}
	return values, nil
}

// newestOf returns the error of the newest unusable version, as the end of a message.
func newestOf(unusable []error) string {
	if len(unusable) == 0 {
		return ""
	}
	return fmt.Sprintf(": the newest of these is %v", unusable[0])
}

// list returns the names of the enabled versions, newest first. It returns at most
// one more than MaxVersions, which shows that there are too many.
func (s *source[T]) list(ctx context.Context) ([]string, error) {
	var names []string
	versions := s.client.ListSecretVersions(ctx, &secretmanagerpb.ListSecretVersionsRequest{
		Parent:   s.name,
		Filter:   "state:ENABLED",
		PageSize: MaxVersions + 1,
	})
	for len(names) <= MaxVersions {
		version, err := versions.Next()
		if errors.Is(err, iterator.Done) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("list the enabled versions of %s: %w", s.name, err)
		}
		names = append(names, version.Name)
	}
	return names, nil
}

// payload is the content of one version.
type payload struct {
	data []byte
	err  error // errGone, or the error of the read
}

// errGone is the error of a version that is listed as enabled, but that Secret
// Manager does not return. Either it was disabled or destroyed just now, or it was
// enabled just now and the change has not reached all replicas, or its encryption key
// is disabled.
var errGone = errors.New("listed as enabled, but not readable")

// readAll reads the versions, maxReads at a time, and returns one payload for each.
func (s *source[T]) readAll(ctx context.Context, versions []string, newest func() *secretmanagerpb.AccessSecretVersionResponse) []payload {
	var (
		payloads = make([]payload, len(versions))
		slots    = make(chan struct{}, maxReads)
		all      sync.WaitGroup
	)
	for i, version := range versions {
		slots <- struct{}{}
		all.Go(func() {
			payloads[i].data, payloads[i].err = s.read(ctx, version, newest)
			<-slots
		})
	}
	all.Wait()
	return payloads
}

// readNewest starts reading the newest version, and returns a function that waits for
// the result. The result is nil if the read failed, for example because the version
// is disabled.
func (s *source[T]) readNewest(ctx context.Context) (wait func() *secretmanagerpb.AccessSecretVersionResponse) {
	answered := make(chan *secretmanagerpb.AccessSecretVersionResponse, 1)
	go func() {
		answer, _ := s.client.AccessSecretVersion(ctx, &secretmanagerpb.AccessSecretVersionRequest{Name: s.name + "/versions/latest"})
		answered <- answer
	}()
	return sync.OnceValue(func() *secretmanagerpb.AccessSecretVersionResponse { return <-answered })
}

// read returns the data of one version, from the newest version's response if it is
// that version. It fails with errGone if Secret Manager does not return the version,
// and with another error if the call fails or the checksum does not match.
func (s *source[T]) read(ctx context.Context, version string, newest func() *secretmanagerpb.AccessSecretVersionResponse) ([]byte, error) {
	answer, err := newest(), error(nil)
	if answer.GetName() != version {
		answer, err = s.client.AccessSecretVersion(ctx, &secretmanagerpb.AccessSecretVersionRequest{Name: version})
	}
	if c := status.Code(err); c == codes.FailedPrecondition || c == codes.NotFound {
		return nil, errGone
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", version, err)
	}
	data := answer.GetPayload().GetData()
	castagnoli := crc32.MakeTable(crc32.Castagnoli) // crc32 caches it; a package variable would build it at every cold start
	if sum := answer.GetPayload().DataCrc32C; sum != nil && *sum != int64(crc32.Checksum(data, castagnoli)) {
		return nil, fmt.Errorf("read %s: checksum mismatch", version)
	}
	return data, nil
}

// emulatorOptions returns the client options for the emulator, or nil if EmulatorHost
// is not set. It fails unless the address is loopback, because the client sends
// secrets without encryption.
func emulatorOptions() ([]option.ClientOption, error) {
	addr := os.Getenv(EmulatorHost)
	if addr == "" {
		return nil, nil
	}
	if host, _, err := net.SplitHostPort(addr); err != nil || !loopback.Is(host) {
		return nil, fmt.Errorf("%s is %q: want a loopback address with a port", EmulatorHost, addr)
	}
	return dial.Emulator(addr), nil
}
