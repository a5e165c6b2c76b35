// Package secret gives the current values of a secret in Secret Manager.
//
// All enabled versions are in force at once, so that rotation has no gap: a new
// version is added, both are accepted, and the old one is disabled when its time
// is over.
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
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/geminihook/geminihook/shared/dial"
	"github.com/geminihook/geminihook/shared/loopback"
	"github.com/geminihook/geminihook/shared/refresh"
)

const (
	// MaxVersions bounds how many enabled versions are read, the newest first. No
	// rotation comes near it. It bounds the work that one forged request can cause.
	MaxVersions = 64

	// maxReads is how many versions are read at a time, so that all of them are read
	// within the time of one refresh.
	maxReads = 8

	// staleIfError is how long values are used while Secret Manager does not answer. A
	// version disabled during an outage is accepted for at most that long.
	staleIfError = time.Hour
)

// EmulatorHost is the environment variable that names a stand-in for Secret Manager,
// as Google's own clients have one for Firestore and Pub/Sub each.
const EmulatorHost = "SECRET_MANAGER_EMULATOR_HOST"

// Open returns the values of a secret: its enabled versions, each as parse reads
// it, kept in memory under the rule of package refresh. secret is a short id,
// looked up in project, or a full name, projects/P/secrets/S. label says what it
// is, in errors and in the log. Nothing is fetched yet.
//
// A version that parse refuses is passed over, and so are the oldest ones if more than
// MaxVersions are enabled. While there is such a version, a value that matches none of
// the others makes Find fail with an error that wraps refresh.ErrPartial and names the
// version or the bound. If no version is left, Find fails with refresh.ErrNone. parse
// must keep the value out of its errors.
//
// The client is that of [NewClient].
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

// NewClient returns a client for Secret Manager. Where SECRET_MANAGER_EMULATOR_HOST
// is set, and a loopback address, it connects there without credentials.
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

// retry repeats a read soon after its connection failed. The client by itself repeats a
// list never, and a read of a version after up to two seconds, which is all the time
// that a refresh has.
func retry() gax.CallOption {
	return gax.WithRetry(func() gax.Retryer {
		return gax.OnCodes([]codes.Code{codes.Unavailable, codes.ResourceExhausted}, gax.Backoff{
			Initial:    50 * time.Millisecond,
			Max:        time.Second,
			Multiplier: 2,
		})
	})
}

// Name returns the full name of a secret, projects/P/secrets/S, given that or a
// short id in project. It fails for anything else, the name of a version included:
// all enabled versions count. The error does not repeat what was given, which may be
// a secret's value that somebody has put in its name's place.
func Name(project, secret string) (string, error) {
	id := secret
	if parts := strings.Split(secret, "/"); len(parts) == 4 && parts[0] == "projects" && parts[1] != "" && parts[2] == "secrets" {
		project, id = parts[1], parts[3]
	}
	switch {
	case strings.HasPrefix(id, valuePrefix):
		return "", errors.New("a secret's value, not its name: keep the value in Secret Manager, and give the name")
	case id == "" || len(id) > maxID || strings.Trim(id, idCharacters) != "":
		return "", errors.New("not the name of a secret: neither an id nor projects/P/secrets/S")
	}
	return "projects/" + project + "/secrets/" + id, nil
}

// NameIn returns Name for one project.
func NameIn(project string) func(secret string) (string, error) {
	return func(secret string) (string, error) { return Name(project, secret) }
}

const (
	// Secret Manager's rule for the id of a secret.
	maxID        = 255
	idCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"

	// valuePrefix begins the signing secrets of Standard Webhooks, of which some would
	// pass for ids.
	valuePrefix = "whsec_"
)

type source[T any] struct {
	client *secretmanager.Client
	name   string
	parse  func([]byte) (T, error)
}

// fetch returns the values of the enabled versions, newest first. "latest" would
// not do: it names the newest version even where that is disabled, and only one.
//
// The newest version is read while the versions are listed, since it is the one in
// force, as a rule: a cold start is a round trip shorter.
//
// Only an access by number is strongly consistent in Secret Manager: a list, and
// "latest", may be minutes behind. If the two, or a list and the accesses after it,
// contradict each other, a version in force may be missing: the values are partial.
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
		return nil, fmt.Errorf("%s: %d versions are listed as enabled, and none can be read", s.name, gone)
	case len(values) == 0:
		return nil, fmt.Errorf("%w: %s has no enabled version that is usable%s", refresh.ErrNone, s.name, newestOf(unusable))
	case len(unusable) > 0:
		return values, fmt.Errorf("%w: %d of %d enabled versions are not usable%s", refresh.ErrPartial, len(unusable), len(read), newestOf(unusable))
	case len(versions) > len(read):
		return values, fmt.Errorf("%w: %s has more than %d enabled versions: disable old ones", refresh.ErrPartial, s.name, MaxVersions)
	case gone > 0:
		return values, fmt.Errorf("%w: %d of the versions listed as enabled cannot be read", refresh.ErrPartial, gone)
	case latest != "" && !slices.Contains(versions, latest):
		return values, fmt.Errorf("%w: %s is enabled, and not listed yet", refresh.ErrPartial, latest)
	}
	return values, nil
}

// newestOf names the newest of the versions that are not usable, and says why it is not.
func newestOf(unusable []error) string {
	if len(unusable) == 0 {
		return ""
	}
	return fmt.Sprintf(": the newest of these is %v", unusable[0])
}

// list returns the names of the enabled versions, newest first: at most one more than
// MaxVersions, by which it shows that there are more.
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

// payload is what one version holds.
type payload struct {
	data []byte
	err  error // errGone, or why it cannot be known now
}

// errGone marks a version that is listed as enabled, and that Secret Manager refuses to
// give out: it was disabled or destroyed just now, or enabled just now and not
// everywhere yet, or the key that encrypts it is disabled.
var errGone = errors.New("listed as enabled, and not given out")

// readAll reads versions, a few at a time, and returns one payload for each.
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

// readNewest begins to read the newest version, and returns what waits for it: nil
// where that failed, for example because it is disabled.
func (s *source[T]) readNewest(ctx context.Context) (wait func() *secretmanagerpb.AccessSecretVersionResponse) {
	answered := make(chan *secretmanagerpb.AccessSecretVersionResponse, 1)
	go func() {
		answer, _ := s.client.AccessSecretVersion(ctx, &secretmanagerpb.AccessSecretVersionRequest{Name: s.name + "/versions/latest"})
		answered <- answer
	}()
	return sync.OnceValue(func() *secretmanagerpb.AccessSecretVersionResponse { return <-answered })
}

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
	castagnoli := crc32.MakeTable(crc32.Castagnoli) // made once; as a variable, at every cold start
	if sum := answer.GetPayload().DataCrc32C; sum != nil && *sum != int64(crc32.Checksum(data, castagnoli)) {
		return nil, fmt.Errorf("read %s: damaged on the way", version)
	}
	return data, nil
}

func emulatorOptions() ([]option.ClientOption, error) {
	addr := os.Getenv(EmulatorHost)
	if addr == "" {
		return nil, nil
	}
	if host, _, err := net.SplitHostPort(addr); err != nil || !loopback.Is(host) {
		return nil, fmt.Errorf("%s is %q: only a loopback address and port will do", EmulatorHost, addr)
	}
	return []option.ClientOption{
		option.WithEndpoint(addr),
		option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
	}, nil
}
