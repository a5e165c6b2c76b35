package secret_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/geminihook/geminihook/shared/gcptest"
	"github.com/geminihook/geminihook/shared/refresh"
	"github.com/geminihook/geminihook/shared/secret"
	"github.com/geminihook/geminihook/shared/webhook"
)

const (
	project = "p"
	id      = "signing-secret"
	name    = "projects/p/secrets/signing-secret"

	// canary is part of each secret in these tests, so that a leaked secret is noticed.
	canary = "canary"
)

// manager is a Secret Manager with one secret, served over gRPC.
type manager struct {
	*gcptest.SecretManager
	t *testing.T

	// answer intercepts each call if it is not nil.
	answer func(method string, request any, handle func() (any, error)) (any, error)

	mu    sync.Mutex
	calls map[string]int // by method
	log   bytes.Buffer
}

// start serves a secret with these versions and directs the client to it.
func start(t *testing.T, versions ...string) *manager {
	t.Helper()
	m := &manager{SecretManager: gcptest.NewSecretManager(), t: t, calls: make(map[string]int)}
	if _, err := m.AddSecret(t.Context(), project, id, versions...); err != nil {
		t.Fatal(err)
	}
	server, err := gcptest.Start("127.0.0.1:0", m, grpc.UnaryInterceptor(m.intercept))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("SECRET_MANAGER_EMULATOR_HOST", server.Addr())
	t.Cleanup(func() {
		server.Close()
		for _, form := range []string{canary, base64.StdEncoding.EncodeToString([]byte(canary))} {
			if strings.Contains(strings.ToLower(m.logged()), strings.ToLower(form)) {
				t.Errorf("the log contains a secret:\n%s", m.logged())
			}
		}
	})
	return m
}

func (m *manager) intercept(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	method := info.FullMethod[strings.LastIndex(info.FullMethod, "/")+1:]
	m.mu.Lock()
	m.calls[method]++
	m.mu.Unlock()
	handle := func() (any, error) { return handler(ctx, request) }
	if m.answer != nil {
		return m.answer(method, request, handle)
	}
	return handle()
}

func (m *manager) add(value string) {
	m.t.Helper()
	if _, err := m.AddSecretVersion(m.t.Context(), &secretmanagerpb.AddSecretVersionRequest{
		Parent: name, Payload: &secretmanagerpb.SecretPayload{Data: []byte(value)},
	}); err != nil {
		m.t.Fatal(err)
	}
}

func (m *manager) disable(version int) {
	m.t.Helper()
	if _, err := m.DisableSecretVersion(m.t.Context(), &secretmanagerpb.DisableSecretVersionRequest{Name: versionName(version)}); err != nil {
		m.t.Fatal(err)
	}
}

func (m *manager) destroy(version int) {
	m.t.Helper()
	if _, err := m.DestroySecretVersion(m.t.Context(), &secretmanagerpb.DestroySecretVersionRequest{Name: versionName(version)}); err != nil {
		m.t.Fatal(err)
	}
}

func versionName(version int) string { return fmt.Sprintf("%s/versions/%d", name, version) }

// Write makes the manager the writer of the log.
func (m *manager) Write(line []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.log.Write(line)
}

func (m *manager) logged() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.log.String()
}

// parse accepts values that begin with "good". The value that it returns with an
// error must not be used.
func parse(data []byte) (string, error) {
	if !bytes.HasPrefix(data, []byte("good")) {
		return string(data), errors.New("not good")
	}
	return string(data), nil
}

func (m *manager) open(secretName string) *refresh.Cache[string] {
	m.t.Helper()
	cache, err := secret.Open(m.t.Context(), "label", project, secretName, parse, slog.New(slog.NewJSONHandler(m, nil)))
	if err != nil {
		m.t.Fatal(err)
	}
	return cache
}

// fetch returns the result of one Fetch.
func (m *manager) fetch() ([]string, error) {
	m.t.Helper()
	return m.open(id).Fetch(m.t.Context())
}

// want checks that a fetch returns exactly these values.
func (m *manager) want(values ...string) {
	m.t.Helper()
	got, err := m.fetch()
	if err != nil || !slices.Equal(got, values) {
		m.t.Errorf("%q, %v; want %q", got, err, values)
	}
}

// wantPartial checks the values of the usable enabled versions, and that the error
// names the missing version but contains no secret.
func (m *manager) wantPartial(missing string, values ...string) {
	m.t.Helper()
	got, err := m.fetch()
	if !errors.Is(err, refresh.ErrPartial) || !slices.Equal(got, values) {
		m.t.Errorf("%q, %v; want %q and ErrPartial", got, err, values)
	}
	if text := fmt.Sprint(err); strings.Contains(text, canary) || !strings.Contains(text, missing) || len(text) > 400 {
		m.t.Errorf("error: %s; want it to name %s", text, missing)
	}
}

// wantError checks the error of a fetch, and that it contains no secret.
func (m *manager) wantError(is error, code codes.Code) {
	m.t.Helper()
	values, err := m.fetch()
	if err == nil {
		m.t.Fatalf("values: %q", values)
	}
	if is != nil && !errors.Is(err, is) || is == nil && (errors.Is(err, refresh.ErrNone) || status.Code(err) != code) {
		m.t.Errorf("%v; want %v, %v", err, is, code)
	}
	if strings.Contains(err.Error(), canary) {
		m.t.Errorf("the error contains a secret: %v", err)
	}
	if !strings.Contains(err.Error(), name) {
		m.t.Errorf("%v does not name the secret", err)
	}
}

func TestEnabledVersionsNewestFirst(t *testing.T) {
	m := start(t, "good-canary-1", "good-canary-2", "good-canary-3")
	m.want("good-canary-3", "good-canary-2", "good-canary-1")
	m.disable(3)
	m.want("good-canary-2", "good-canary-1")
	m.destroy(1)
	m.want("good-canary-2")
	m.add("good-canary-4")
	m.want("good-canary-4", "good-canary-2")
}

func TestNoUsableVersion(t *testing.T) {
	t.Run("no version", func(t *testing.T) {
		start(t).wantError(refresh.ErrNone, codes.OK)
	})
	t.Run("all disabled or destroyed", func(t *testing.T) {
		m := start(t, "good-canary-1", "good-canary-2")
		m.disable(1)
		m.destroy(2)
		m.wantError(refresh.ErrNone, codes.OK)
	})
	t.Run("all unusable", func(t *testing.T) {
		m := start(t, "bad-canary-1", "bad-canary-2")
		m.wantError(refresh.ErrNone, codes.OK)
		if _, err := m.fetch(); errors.Is(err, refresh.ErrPartial) || !strings.Contains(err.Error(), versionName(2)+": not good") {
			t.Errorf("%v does not contain the cause", err)
		}
	})
	t.Run("no secret", func(t *testing.T) {
		m := start(t)
		_, err := m.open("another").Fetch(t.Context())
		if status.Code(err) != codes.NotFound || errors.Is(err, refresh.ErrNone) {
			t.Errorf("%v", err)
		}
	})
}

// If no version is enabled, Find fails at once. StaleIfError applies only to an
// unavailable Secret Manager.
func TestNoUsableVersionIsOurFailure(t *testing.T) {
	m := start(t, "canary")
	cache := m.open(id)
	ok, err := cache.Find(t.Context(), func(string) bool { return true })
	if ok || !errors.Is(err, refresh.ErrNone) {
		t.Errorf("%v, %v", ok, err)
	}
	if cache.StaleIfError != time.Hour || cache.Name != "label" {
		t.Errorf("StaleIfError = %v, Name = %q", cache.StaleIfError, cache.Name)
	}
}

// An unusable version does not prevent the use of the others. But it is enabled, so a
// value that matches no other version is not definitely forged.
func TestUnusableVersionsAreSkipped(t *testing.T) {
	m := start(t, "good-canary-1", "\n", "x canary", "good-canary-4")
	m.wantPartial("2 of 4 enabled versions are not usable: the newest of these is "+versionName(3)+": not good", "good-canary-4", "good-canary-1")

	cache := m.open(id)
	find := func(value string) (bool, error) {
		return cache.Find(t.Context(), func(v string) bool { return v == value })
	}
	for range 3 {
		if ok, err := find("good-canary-1"); !ok || err != nil {
			t.Errorf("%v, %v; want a match", ok, err)
		}
		if ok, err := find("x"); ok || !errors.Is(err, refresh.ErrPartial) || !strings.Contains(err.Error(), versionName(3)) {
			t.Errorf("%v, %v; want ErrPartial", ok, err)
		}
	}
	if n := strings.Count(m.logged(), "\n"); n != 1 || !strings.Contains(m.logged(), versionName(3)) {
		t.Errorf("%d log lines for one refresh: %s", n, m.logged())
	}

	// After the unusable versions are disabled, a miss is definite.
	m.disable(2)
	m.disable(3)
	m.want("good-canary-4", "good-canary-1")
}

// The same with the parsers that the functions use.
func TestUnusableSigningSecrets(t *testing.T) {
	key := base64.StdEncoding.EncodeToString([]byte("canarycanarycanarycanary"))
	m := start(t,
		"whsec_"+key,                          // 1: usable
		" ",                                   // 2: empty
		"whsec_",                              // 3: empty
		"whsec_Y2FuYXJ5Y2FuYXJ5",              // 4: short
		"whsec_*canary*canary*canary*canary*", // 5: not base64
		"canary\xff\x00",                      // 6: not text
		key,                                   // 7: usable, bare
	)
	log := slog.New(slog.NewTextHandler(m, nil))
	keys, err := secret.Open(t.Context(), "signing secret", project, id, webhook.ParseSigningKey, log)
	if err != nil {
		t.Fatal(err)
	}
	values, err := keys.Fetch(t.Context())
	if !errors.Is(err, refresh.ErrPartial) || len(values) != 2 || !strings.Contains(err.Error(), versionName(6)) || strings.Contains(err.Error(), canary) {
		t.Errorf("%d keys, %v", len(values), err)
	}
	tokens, err := secret.Open(t.Context(), "url token", project, id, webhook.ParseURLToken, log)
	if err != nil {
		t.Fatal(err)
	}
	found, err := tokens.Fetch(t.Context())
	if !errors.Is(err, refresh.ErrPartial) || len(found) != 3 || !strings.Contains(err.Error(), versionName(6)) || strings.Contains(err.Error(), canary) { // 1, 4 and 7
		t.Errorf("%d tokens, %v", len(found), err)
	}
}

// A version with a byte order mark is usable.
func TestByteOrderMark(t *testing.T) {
	m := start(t, "\ufeffwhsec_"+base64.StdEncoding.EncodeToString([]byte("canarycanarycanarycanary"))+"\r\n")
	keys, err := secret.Open(t.Context(), "signing secret", project, id, webhook.ParseSigningKey, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if values, err := keys.Fetch(t.Context()); err != nil || len(values) != 1 {
		t.Errorf("%d keys, %v", len(values), err)
	}
	m.add("\ufeffcanarycanarycanary\n")
	m.disable(1)
	tokens, err := secret.Open(t.Context(), "url token", project, id, webhook.ParseURLToken, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if values, err := tokens.Fetch(t.Context()); err != nil || len(values) != 1 {
		t.Errorf("%d tokens, %v", len(values), err)
	}
}

// All versions up to the maximum are read. If there are more, the newest are used,
// and a miss is an error.
func TestMaxVersions(t *testing.T) {
	const bound = 64
	var versions []string
	for i := range bound + 2 {
		versions = append(versions, fmt.Sprint("good-canary-", i))
	}
	newestFirst := slices.Clone(versions)
	slices.Reverse(newestFirst)
	for name, test := range map[string]struct{ versions, want []string }{
		"17":         {versions[:17], newestFirst[bound+2-17:]},
		"the bound":  {versions[:bound], newestFirst[2:]},
		"one more":   {versions[:bound+1], newestFirst[1 : bound+1]},
		"two more":   {versions, newestFirst[:bound]},
		"one unused": {append([]string{"canary"}, versions[1:bound+1]...), newestFirst[1 : bound+1]},
	} {
		t.Run(name, func(t *testing.T) {
			m := start(t, test.versions...)
			if len(test.versions) > bound {
				m.wantPartial("more than 64 enabled versions", test.want...)
			} else {
				m.want(test.want...)
			}
			if m.calls["ListSecretVersions"] != 1 || m.calls["AccessSecretVersion"] != min(len(test.versions), bound) {
				t.Errorf("calls: %v", m.calls)
			}
		})
	}
}

// The server may return smaller pages than requested.
func TestSmallPages(t *testing.T) {
	var versions []string
	for i := range 20 {
		versions = append(versions, fmt.Sprint("good-canary-", i))
	}
	m := start(t, versions...)
	m.answer = func(_ string, request any, handle func() (any, error)) (any, error) {
		if list, ok := request.(*secretmanagerpb.ListSecretVersionsRequest); ok {
			list.PageSize = 3
		}
		return handle()
	}
	slices.Reverse(versions)
	m.want(versions...)
	if m.calls["ListSecretVersions"] != 7 {
		t.Errorf("calls: %v", m.calls)
	}
}

// A refresh has two seconds for all versions, so several are read at a time, but not
// all at once.
func TestVersionsAreReadConcurrently(t *testing.T) {
	var versions []string
	for i := range 40 {
		versions = append(versions, fmt.Sprint("good-canary-", i))
	}
	m := start(t, versions...)
	var mu sync.Mutex
	underWay, most := 0, 0
	full := make(chan struct{})
	eight := sync.OnceFunc(func() { close(full) })
	defer time.AfterFunc(10*time.Second, eight).Stop()
	m.answer = func(_ string, request any, handle func() (any, error)) (any, error) {
		access, ok := request.(*secretmanagerpb.AccessSecretVersionRequest)
		if !ok || strings.HasSuffix(access.Name, "/latest") {
			return handle()
		}
		mu.Lock()
		underWay++
		if most = max(most, underWay); underWay == 8 {
			eight()
		}
		mu.Unlock()
		<-full
		answer, err := handle()
		mu.Lock()
		defer mu.Unlock()
		underWay--
		return answer, err
	}
	slices.Reverse(versions)
	m.want(versions...)
	if most != 8 {
		t.Errorf("%d reads at a time, want 8", most)
	}
}

// The newest version is read before its number is known. If it is disabled, it is not
// used, and the others are read.
func TestNewestDisabled(t *testing.T) {
	m := start(t, "good-canary-1", "good-canary-2")
	m.disable(2)
	m.want("good-canary-1")
	if m.calls["ListSecretVersions"] != 1 || m.calls["AccessSecretVersion"] != 2 {
		t.Errorf("calls: %v", m.calls)
	}
}

// A slow list does not delay reading the newest version.
func TestNewestIsReadDuringTheList(t *testing.T) {
	m := start(t, "good-canary-1")
	read := make(chan struct{})
	m.answer = func(method string, _ any, handle func() (any, error)) (any, error) {
		if method == "ListSecretVersions" {
			select {
			case <-read:
			case <-time.After(10 * time.Second):
				t.Error("no version was read before the list arrived")
			}
		} else {
			close(read)
		}
		return handle()
	}
	m.want("good-canary-1")
}

func TestManyUnusableVersions(t *testing.T) {
	versions := append([]string{"good-canary"}, slices.Repeat([]string{"canary"}, 63)...)
	start(t, versions...).wantPartial(versionName(64), "good-canary")
}

// A version may be disabled or destroyed after the list, or was enabled so recently
// that it cannot be read everywhere. Then a miss is not definite.
func TestVersionDisabledAfterTheList(t *testing.T) {
	for name, gone := range map[string]func(*manager){
		"disabled":  func(m *manager) { m.disable(2) },
		"destroyed": func(m *manager) { m.destroy(2) },
	} {
		t.Run(name, func(t *testing.T) {
			m := start(t, "good-canary-1", "good-canary-2", "good-canary-3")
			m.answer = func(method string, _ any, handle func() (any, error)) (any, error) {
				answer, err := handle()
				if method == "ListSecretVersions" {
					gone(m)
				}
				return answer, err
			}
			m.wantPartial("1 of the versions", "good-canary-3", "good-canary-1")
		})
	}
	t.Run("not found", func(t *testing.T) {
		m := start(t, "good-canary-1", "good-canary-2")
		m.answer = failAccess(2, codes.NotFound)
		m.wantPartial("1 of the versions", "good-canary-1")
	})
	t.Run("the only one", func(t *testing.T) {
		m := start(t, "good-canary-1")
		m.answer = failAccess(1, codes.FailedPrecondition)
		if values, err := m.fetch(); err == nil || errors.Is(err, refresh.ErrNone) {
			t.Errorf("%q, %v; want an error that leaves the values in memory", values, err)
		}
	})
}

// A list may be minutes old. If a version is newer than the list, a miss is not
// definite, because that version may have signed the delivery.
func TestListLagsBehind(t *testing.T) {
	m := start(t, "good-canary-1", "good-canary-2")
	m.answer = func(_ string, _ any, handle func() (any, error)) (any, error) {
		answer, err := handle()
		if list, ok := answer.(*secretmanagerpb.ListSecretVersionsResponse); ok {
			list.Versions = slices.DeleteFunc(list.Versions, func(v *secretmanagerpb.SecretVersion) bool { return v.Name == versionName(2) })
		}
		return answer, err
	}
	m.wantPartial(versionName(2), "good-canary-1")
}

// failAccess makes reads of one version fail, by its name or as the newest.
func failAccess(version int, code codes.Code) func(string, any, func() (any, error)) (any, error) {
	return func(_ string, _ any, handle func() (any, error)) (any, error) {
		answer, err := handle()
		if access, ok := answer.(*secretmanagerpb.AccessSecretVersionResponse); ok && access.Name == versionName(version) {
			return nil, status.Error(code, "injected")
		}
		return answer, err
	}
}

// If reading a version fails, the current versions are not known: the values in
// memory are used, and the other versions' values are dropped.
func TestVersionThatCannotBeRead(t *testing.T) {
	for _, code := range []codes.Code{codes.PermissionDenied, codes.Internal, codes.InvalidArgument, codes.Unauthenticated} {
		t.Run(code.String(), func(t *testing.T) {
			m := start(t, "good-canary-1", "good-canary-2")
			m.answer = failAccess(1, code)
			m.wantError(nil, code)
		})
	}
}

func TestListThatFails(t *testing.T) {
	m := start(t, "good-canary-1")
	m.answer = func(method string, _ any, handle func() (any, error)) (any, error) {
		if method == "ListSecretVersions" {
			return nil, status.Error(codes.PermissionDenied, "injected")
		}
		return handle()
	}
	m.wantError(nil, codes.PermissionDenied)
}

func TestChecksum(t *testing.T) {
	spoil := func(change func(*secretmanagerpb.SecretPayload)) func(string, any, func() (any, error)) (any, error) {
		return func(_ string, request any, handle func() (any, error)) (any, error) {
			answer, err := handle()
			if access, ok := answer.(*secretmanagerpb.AccessSecretVersionResponse); ok && access.Name == versionName(2) {
				change(access.Payload)
			}
			return answer, err
		}
	}
	m := start(t, "good-canary-1", "good-canary-2")
	m.answer = spoil(func(p *secretmanagerpb.SecretPayload) { p.Data[len(p.Data)-1]++ })
	m.wantError(nil, codes.Unknown) // not the error of a call
	m.answer = spoil(func(p *secretmanagerpb.SecretPayload) { *p.DataCrc32C++ })
	m.wantError(nil, codes.Unknown)
	m.answer = spoil(func(p *secretmanagerpb.SecretPayload) { p.Data = nil })
	m.wantError(nil, codes.Unknown)

	// Without a checksum the data is accepted.
	m.answer = spoil(func(p *secretmanagerpb.SecretPayload) { p.DataCrc32C = nil })
	m.want("good-canary-2", "good-canary-1")
	// No data with a matching checksum is an empty version.
	m.answer = spoil(func(p *secretmanagerpb.SecretPayload) { p.Data, p.DataCrc32C = nil, proto.Int64(0) })
	m.wantPartial(versionName(2), "good-canary-1")
}

func TestUnavailable(t *testing.T) {
	m := start(t, "good-canary-1")
	m.answer = func(string, any, func() (any, error)) (any, error) {
		return nil, status.Error(codes.Unavailable, "injected")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	values, err := m.open(id).Fetch(ctx)
	if err == nil || errors.Is(err, refresh.ErrNone) {
		t.Errorf("%q, %v", values, err)
	}
}

func TestConnectionRefused(t *testing.T) {
	m := start(t, "good-canary-1")
	server, err := gcptest.Start("127.0.0.1:0", m)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("SECRET_MANAGER_EMULATOR_HOST", server.Addr())
	server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if values, err := m.open(id).Fetch(ctx); err == nil || errors.Is(err, refresh.ErrNone) {
		t.Errorf("%q, %v", values, err)
	}
}

// A whole rotation, as the functions use the cache.
func TestRotation(t *testing.T) {
	m := start(t, "good-canary-1")
	cache := m.open(id)
	find := func(want string) (bool, error) {
		return cache.Find(t.Context(), func(value string) bool { return value == want })
	}
	if ok, err := find("good-canary-1"); !ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
	if ok, err := find("good-canary-2"); ok || err != nil { // within the negative TTL
		t.Errorf("%v, %v", ok, err)
	}
	m.add("good-canary-2")
	m.disable(1)
	if ok, err := m.open(id).Find(t.Context(), func(value string) bool { return value == "good-canary-2" }); !ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
}

func TestNames(t *testing.T) {
	m := start(t, "good-canary")
	for _, secretName := range []string{id, name} {
		if values, err := m.open(secretName).Fetch(t.Context()); err != nil || len(values) != 1 {
			t.Errorf("%s: %q, %v", secretName, values, err)
		}
	}
	for given, want := range map[string]string{
		"s":                    "projects/p/secrets/s",
		"projects/q/secrets/s": "projects/q/secrets/s",
		"projects":             "projects/p/secrets/projects",
	} {
		if got, err := secret.Name("p", given); err != nil || got != want {
			t.Errorf("Name(%q) = %q, %v, want %q", given, got, err, want)
		}
	}
	for _, given := range []string{
		"", "a b", "a.b", "s/versions/latest", "projects/q/secrets/s/versions/latest", "projects//secrets/s", "projects/q/secrets/", strings.Repeat("s", 256),
	} {
		if got, err := secret.Name("p", given); err == nil {
			t.Errorf("Name(%q) = %q, want an error", given, got)
		}
	}
}

// Name rejects a signing secret in place of a name, and any other text that is not a
// name, without repeating it.
func TestValueForName(t *testing.T) {
	for _, given := range []string{
		"whsec_abcdefghijklmnop", "projects/p/secrets/whsec_abcdefghijklmnop", " whsec_abcdefghijklmnop", "abcdefghijklmnop+/=",
	} {
		got, err := secret.Name("p", given)
		if err == nil || strings.Contains(err.Error(), "abcdefghijklmnop") {
			t.Errorf("Name(%q) = %q, %v", given, got, err)
		}
	}
}

// FuzzName checks that each accepted name is a full name of the given secret.
func FuzzName(f *testing.F) {
	f.Add("p", "geminihook-signing-secret")
	f.Add("p", "projects/q/secrets/s")
	f.Add("", "projects/q/secrets/s/versions/1")
	f.Add("p", "whsec_AAAA")
	full := regexp.MustCompile(`^projects/.+/secrets/[A-Za-z0-9_-]{1,255}$`)
	f.Fuzz(func(t *testing.T, in, given string) {
		got, err := secret.Name(in, given)
		switch {
		case err != nil && got != "":
			t.Errorf("Name returned %q with the error %v", got, err)
		case err != nil:
		case got != given && got != "projects/"+in+"/secrets/"+given:
			t.Errorf("Name(%q, %q) = %q", in, given, got)
		case in != "" && !strings.ContainsAny(in+given, "\n") && !full.MatchString(got):
			t.Errorf("Name(%q, %q) = %q", in, given, got)
		}
	})
}

// The caller's options have precedence over the environment.
func TestOptionsComeLast(t *testing.T) {
	m := start(t, "good-canary")
	addr := os.Getenv("SECRET_MANAGER_EMULATOR_HOST")
	t.Setenv("SECRET_MANAGER_EMULATOR_HOST", "127.0.0.1:1")
	cache, err := secret.Open(t.Context(), "label", project, id, parse, slog.New(slog.NewJSONHandler(m, nil)), option.WithEndpoint(addr))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if values, err := cache.Fetch(ctx); err != nil || len(values) != 1 {
		t.Errorf("%q, %v", values, err)
	}
}

// Secrets are sent only to Google or to a loopback address.
func TestEmulatorHost(t *testing.T) {
	for host, good := range map[string]bool{
		"127.0.0.1:1":         true,
		"127.9.9.9:1":         true,
		"localhost:1":         true,
		"[::1]:1":             true,
		"10.0.0.1:1":          false,
		"0.0.0.0:1":           false,
		"[::]:1":              false,
		":1":                  false,
		"manager.example:1":   false,
		"localhost.example:1": false,
		"127.0.0.1.example:1": false,
		"127.0.0.1":           false,
		"localhost":           false,
		"http://127.0.0.1:1":  false,
		"dns:///127.0.0.1:1":  false,
	} {
		t.Setenv("SECRET_MANAGER_EMULATOR_HOST", host)
		client, err := secret.NewClient(t.Context())
		if (err == nil) != good {
			t.Errorf("%q: %v, want good: %v", host, err, good)
		}
		if err == nil {
			_ = client.Close()
		}
		_, err = secret.Open(t.Context(), "label", project, id, parse, slog.New(slog.DiscardHandler))
		if (err == nil) != good {
			t.Errorf("%q: %v, want good: %v", host, err, good)
		}
	}
}
