package manage

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/iam/apiv1/iampb"
	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/api/iterator"

	"github.com/geminihook/geminihook/shared/secret"
)

const (
	// maxVersions bounds the versions that are read. The functions read as many.
	maxVersions = secret.MaxVersions

	// storeAttempts bounds the attempts to store a secret, which would otherwise be
	// lost.
	storeAttempts = 4
	storePause    = time.Second // after the first attempt; it doubles with each

	// storeTimeout bounds all attempts together.
	storeTimeout = 30 * time.Second
)

// Permissions on a secret that commands need.
const (
	mayAdd     = "secretmanager.versions.add"
	mayList    = "secretmanager.versions.list"
	mayAccess  = "secretmanager.versions.access"
	mayDisable = "secretmanager.versions.disable"
)

// A secretStore is one secret in Secret Manager, with its versions.
type secretStore struct {
	client *secretmanager.Client
	name   string // in full
	pause  func(context.Context, time.Duration) error
}

// secretStore returns the store of the secret with this name. It does not call Secret
// Manager yet.
func (inv *Invocation) secretStore(ctx context.Context, name string) (*secretStore, error) {
	if err := inv.refuseEmulator(secret.EmulatorHost); err != nil {
		return nil, err
	}
	name, err := secret.Name(inv.Values["project"], name)
	if err != nil {
		return nil, err
	}
	client, err := secret.NewClient(ctx)
	if err != nil {
		return nil, err
	}
	return &secretStore{client, name, inv.Pause}, nil
}

// Environment variables that make Google's clients use emulators.
const (
	firestoreEmulator = "FIRESTORE_EMULATOR_HOST"
	pubsubEmulator    = "PUBSUB_EMULATOR_HOST"
)

// products are the names of the Google Cloud products that the variables are for.
var products = map[string]string{
	secret.EmulatorHost: "Secret Manager", firestoreEmulator: "Firestore", pubsubEmulator: "Pub/Sub",
}

// refuseEmulator fails if one of the variables is set, for example left over from a
// test, while the Gemini API is the real one. Otherwise a signing secret would be
// stored in the emulator and be lost, and a pass would compare real jobs with an empty
// ledger.
func (inv *Invocation) refuseEmulator(variables ...string) error {
	for _, variable := range variables {
		host := os.Getenv(variable)
		if host == "" || local(inv.GeminiURL) {
			continue
		}
		return &failure{
			err:   fmt.Errorf("%s is set (%s): the command would use an emulator for %s, but the real Gemini API", variable, host, products[variable]),
			state: "nothing was changed",
			next:  "unset " + variable + ", then run the command again",
		}
	}
	return nil
}

// local reports whether a URL's host is this machine.
func local(rawURL string) bool {
	u, err := url.Parse(rawURL)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// String returns the secret's short name.
func (s *secretStore) String() string { return "secret " + path.Base(s.name) }

// A version is one version of a secret.
type version struct {
	name    string // in full
	created time.Time
	text    string
}

// String returns the version's number, so that its text is not printed.
func (v version) String() string { return "version " + path.Base(v.name) }

// GoString does the same for %#v.
func (v version) GoString() string { return v.String() }

// numbers returns the numbers of versions.
func numbers(versions []version) string {
	var names []string
	for _, v := range versions {
		names = append(names, path.Base(v.name))
	}
	return "version " + strings.Join(names, ", ")
}

// check fails if the caller lacks one of the permissions on the secret. Commands call
// it before they change anything.
func (s *secretStore) check(ctx context.Context, permissions ...string) error {
	res, err := s.client.TestIamPermissions(ctx, &iampb.TestIamPermissionsRequest{Resource: s.name, Permissions: permissions})
	if err != nil {
		return fmt.Errorf("%s: permissions: %w", s, err)
	}
	missing := slices.DeleteFunc(permissions, func(p string) bool { return slices.Contains(res.Permissions, p) })
	if len(missing) == 0 {
		return nil
	}
	return &failure{
		err:   fmt.Errorf("%s does not exist, or you lack %s on it", s, strings.Join(missing, ", ")),
		state: "nothing was changed",
		next: fmt.Sprintf("terraform apply, if the secret does not exist; otherwise grant yourself roles/secretmanager.secretVersionManager and roles/secretmanager.secretAccessor on %s",
			s.name),
	}
}

// versions returns the enabled versions, newest first, as the functions read them.
func (s *secretStore) versions(ctx context.Context) ([]version, error) {
	var all []version
	found := s.client.ListSecretVersions(ctx, &secretmanagerpb.ListSecretVersionsRequest{
		Parent: s.name, Filter: "state:ENABLED", PageSize: maxVersions,
	})
	for len(all) < maxVersions {
		about, err := found.Next()
		if errors.Is(err, iterator.Done) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: list its versions: %w", s, err)
		}
		text, err := s.read(ctx, about.Name)
		if err != nil {
			return nil, err
		}
		all = append(all, version{about.Name, about.CreateTime.AsTime(), strings.TrimSpace(strings.TrimPrefix(text, "\ufeff"))})
	}
	return all, nil
}

// read returns the text of a version.
func (s *secretStore) read(ctx context.Context, name string) (string, error) {
	res, err := s.client.AccessSecretVersion(ctx, &secretmanagerpb.AccessSecretVersionRequest{Name: name})
	if err != nil {
		return "", fmt.Errorf("%s: read version %s: %w", s, path.Base(name), err)
	}
	return string(res.GetPayload().GetData()), nil
}

// store adds a version and reads it back. It retries, and ignores interrupts, because
// text is the only copy of the secret.
func (s *secretStore) store(ctx context.Context, text string) (version, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	stored := version{text: text}
	err := s.insist(ctx, func() error {
		res, err := s.client.AddSecretVersion(ctx, &secretmanagerpb.AddSecretVersionRequest{
			Parent: s.name, Payload: &secretmanagerpb.SecretPayload{Data: []byte(text)},
		})
		if err != nil {
			return fmt.Errorf("%s: add a version: %w", s, err)
		}
		stored.name, stored.created = res.Name, res.CreateTime.AsTime()
		return nil
	})
	if err != nil {
		return version{}, err
	}
	err = s.insist(ctx, func() error {
		read, err := s.read(ctx, stored.name)
		if err == nil && read != text {
			err = fmt.Errorf("%s: %s differs from the text that was stored", s, stored)
		}
		return err
	})
	if err != nil {
		s.discard(ctx, stored)
		return version{}, err
	}
	return stored, nil
}

// discard disables a version that may be damaged. If that fails, the version stays
// enabled; this is harmless, because no delivery is signed with it.
func (s *secretStore) discard(ctx context.Context, bad version) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	_ = s.disable(ctx, bad)
}

// insist calls do until it succeeds, at most storeAttempts times.
func (s *secretStore) insist(ctx context.Context, do func() error) error {
	wait := storePause
	for attempt := 1; ; attempt++ {
		err := do()
		if err == nil || attempt == storeAttempts || s.pause(ctx, wait) != nil {
			return err
		}
		wait *= 2
	}
}

// disable disables versions, and stops at the first that fails.
func (s *secretStore) disable(ctx context.Context, versions ...version) error {
	for _, old := range versions {
		_, err := s.client.DisableSecretVersion(ctx, &secretmanagerpb.DisableSecretVersionRequest{Name: old.name})
		if err != nil {
			return fmt.Errorf("%s: disable %s: %w", s, old, err)
		}
	}
	return nil
}
