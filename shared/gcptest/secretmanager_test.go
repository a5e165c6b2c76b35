package gcptest_test

import (
	"bytes"
	"context"
	"errors"
	"hash/crc32"
	"slices"
	"strings"
	"sync"
	"testing"

	"cloud.google.com/go/iam/apiv1/iampb"
	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/geminihook/geminihook/shared/gcptest"
)

const testSecret = "projects/p/secrets/s"

// secretClient returns a client of a new SecretManager with the secret testSecret and
// these versions.
func secretClient(t *testing.T, versions ...string) *secretmanager.Client {
	t.Helper()
	conn := dial(t, serve(t, gcptest.NewSecretManager()))
	c, err := secretmanager.NewClient(t.Context(), option.WithGRPCConn(conn))
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, createSecret(t.Context(), c, "projects/p", "s"), codes.OK)
	for _, v := range versions {
		wantCode(t, addVersion(t.Context(), c, []byte(v)), codes.OK)
	}
	return c
}

func createSecret(ctx context.Context, c *secretmanager.Client, parent, id string) error {
	return second(c.CreateSecret(ctx, &secretmanagerpb.CreateSecretRequest{Parent: parent, SecretId: id,
		Secret: &secretmanagerpb.Secret{Replication: &secretmanagerpb.Replication{
			Replication: &secretmanagerpb.Replication_Automatic_{Automatic: &secretmanagerpb.Replication_Automatic{}}}}}))
}

func addVersion(ctx context.Context, c *secretmanager.Client, data []byte) error {
	return second(c.AddSecretVersion(ctx, &secretmanagerpb.AddSecretVersionRequest{Parent: testSecret,
		Payload: &secretmanagerpb.SecretPayload{Data: data}}))
}

func access(ctx context.Context, c *secretmanager.Client, version string) (string, error) {
	res, err := c.AccessSecretVersion(ctx, &secretmanagerpb.AccessSecretVersionRequest{Name: testSecret + "/versions/" + version})
	if err != nil {
		return "", err
	}
	if got, want := res.Payload.GetDataCrc32C(), crc32.Checksum(res.Payload.Data, crc32.MakeTable(crc32.Castagnoli)); got != int64(want) {
		return "", errors.New("checksum mismatch")
	}
	return res.Name[strings.LastIndexByte(res.Name, '/')+1:] + " " + string(res.Payload.Data), nil
}

func enable(ctx context.Context, c *secretmanager.Client, version string) error {
	return second(c.EnableSecretVersion(ctx, &secretmanagerpb.EnableSecretVersionRequest{Name: testSecret + "/versions/" + version}))
}

func disable(ctx context.Context, c *secretmanager.Client, version string) error {
	return second(c.DisableSecretVersion(ctx, &secretmanagerpb.DisableSecretVersionRequest{Name: testSecret + "/versions/" + version}))
}

func destroy(ctx context.Context, c *secretmanager.Client, version string) error {
	return second(c.DestroySecretVersion(ctx, &secretmanagerpb.DestroySecretVersionRequest{Name: testSecret + "/versions/" + version}))
}

func TestSecretVersions(t *testing.T) {
	ctx, c := t.Context(), secretClient(t, "one", "two")
	steps := []struct {
		name    string
		do      func() error
		code    codes.Code
		version string
		want    string // of accessing version, or its code
	}{
		{"at first", func() error { return nil }, codes.OK, "1", "1 one"},
		{"the latest is the newest", func() error { return nil }, codes.OK, "latest", "2 two"},
		{"no such version", func() error { return nil }, codes.OK, "3", "NotFound"},
		{"number zero", func() error { return nil }, codes.OK, "0", "NotFound"},
		{"not a number", func() error { return nil }, codes.OK, "newest", "InvalidArgument"},
		{"disabled", func() error { return disable(ctx, c, "2") }, codes.OK, "2", "FailedPrecondition"},
		{"the latest is the newest even if disabled", func() error { return nil }, codes.OK, "latest", "FailedPrecondition"},
		{"others stay", func() error { return nil }, codes.OK, "1", "1 one"},
		{"disabled twice", func() error { return disable(ctx, c, "2") }, codes.OK, "2", "FailedPrecondition"},
		{"enabled", func() error { return enable(ctx, c, "2") }, codes.OK, "latest", "2 two"},
		{"destroyed", func() error { return destroy(ctx, c, "2") }, codes.OK, "2", "FailedPrecondition"},
		{"destroyed twice", func() error { return destroy(ctx, c, "2") }, codes.FailedPrecondition, "2", "FailedPrecondition"},
		{"enabled when destroyed", func() error { return enable(ctx, c, "2") }, codes.FailedPrecondition, "2", "FailedPrecondition"},
		{"disabled when destroyed", func() error { return disable(ctx, c, "2") }, codes.FailedPrecondition, "2", "FailedPrecondition"},
		{"a new one is the latest", func() error { return addVersion(ctx, c, []byte("three")) }, codes.OK, "latest", "3 three"},
		{"missing one disabled", func() error { return disable(ctx, c, "9") }, codes.NotFound, "1", "1 one"},
	}
	for _, s := range steps {
		t.Run(s.name, func(t *testing.T) {
			wantCode(t, s.do(), s.code)
			got, err := access(ctx, c, s.version)
			if err != nil {
				got = status.Code(err).String()
			}
			if got != s.want {
				t.Errorf("access to %s: got %q (%v), want %q", s.version, got, err, s.want)
			}
		})
	}
	v, err := c.GetSecretVersion(ctx, &secretmanagerpb.GetSecretVersionRequest{Name: testSecret + "/versions/2"})
	if err != nil || v.State != secretmanagerpb.SecretVersion_DESTROYED || v.DestroyTime == nil || v.CreateTime == nil {
		t.Errorf("version 2 is %v (%v), want it destroyed", v, err)
	}
}

func TestSecretPayloads(t *testing.T) {
	c := secretClient(t)
	sum := func(data []byte) *int64 {
		return proto.Int64(int64(crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))))
	}
	full := bytes.Repeat([]byte("x"), 64<<10)
	for name, test := range map[string]struct {
		payload *secretmanagerpb.SecretPayload
		want    codes.Code
	}{
		"64 KiB":           {&secretmanagerpb.SecretPayload{Data: full}, codes.OK},
		"more":             {&secretmanagerpb.SecretPayload{Data: append(slices.Clone(full), 'x')}, codes.InvalidArgument},
		"empty":            {&secretmanagerpb.SecretPayload{}, codes.InvalidArgument},
		"none":             {nil, codes.InvalidArgument},
		"checksum":         {&secretmanagerpb.SecretPayload{Data: full, DataCrc32C: sum(full)}, codes.OK},
		"another checksum": {&secretmanagerpb.SecretPayload{Data: full, DataCrc32C: sum(full[1:])}, codes.InvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := c.AddSecretVersion(t.Context(), &secretmanagerpb.AddSecretVersionRequest{Parent: testSecret, Payload: test.payload})
			wantCode(t, err, test.want)
			if v.GetClientSpecifiedPayloadChecksum() != (test.want == codes.OK && test.payload.DataCrc32C != nil) {
				t.Errorf("ClientSpecifiedPayloadChecksum is %v", v.GetClientSpecifiedPayloadChecksum())
			}
		})
	}
}

func TestSecretNames(t *testing.T) {
	ctx, c := t.Context(), secretClient(t)
	for _, test := range []struct {
		parent, id string
		want       codes.Code
	}{
		{"projects/p", "s", codes.AlreadyExists},
		{"projects/q", "s", codes.OK},
		{"projects/p/locations/europe-west1", "s", codes.OK},
		{"projects/p", strings.Repeat("s", 255), codes.OK},
		{"projects/p", strings.Repeat("s", 256), codes.InvalidArgument},
		{"projects/p", "", codes.InvalidArgument},
		{"projects/p", "a.b", codes.InvalidArgument},
		{"projects/p/secrets/s", "t", codes.InvalidArgument},
		{"p", "s", codes.InvalidArgument},
	} {
		wantCode(t, createSecret(ctx, c, test.parent, test.id), test.want)
		if test.want == codes.OK {
			s, err := c.GetSecret(ctx, &secretmanagerpb.GetSecretRequest{Name: test.parent + "/secrets/" + test.id})
			if err != nil || s.Name != test.parent+"/secrets/"+test.id || s.CreateTime == nil {
				t.Errorf("got %v (%v)", s, err)
			}
		}
	}
	wantCode(t, second(c.CreateSecret(ctx, &secretmanagerpb.CreateSecretRequest{Parent: "projects/p", SecretId: "t"})), codes.InvalidArgument)
	wantCode(t, second(c.GetSecret(ctx, &secretmanagerpb.GetSecretRequest{Name: "projects/p/secrets/none"})), codes.NotFound)
	wantCode(t, second(access(ctx, c, "latest")), codes.NotFound) // no versions yet
	wantCode(t, second(c.AddSecretVersion(ctx, &secretmanagerpb.AddSecretVersionRequest{Parent: "projects/p/secrets/none",
		Payload: &secretmanagerpb.SecretPayload{Data: []byte("x")}})), codes.NotFound)
}

func TestListSecretVersions(t *testing.T) {
	ctx, c := t.Context(), secretClient(t, "1", "2", "3", "4", "5")
	wantCode(t, disable(ctx, c, "4"), codes.OK)
	wantCode(t, destroy(ctx, c, "1"), codes.OK)
	for _, test := range []struct {
		filter string
		size   int32
		want   string
	}{
		{"", 0, "54321"}, {"", 2, "54321"}, {"", 5, "54321"}, {"", 100_000, "54321"},
		{"state:ENABLED", 0, "532"}, {"state=ENABLED", 1, "532"}, {"state = ENABLED", 2, "532"},
		{"state:DISABLED", 0, "4"}, {"state:DESTROYED", 0, "1"},
	} {
		it := c.ListSecretVersions(ctx, &secretmanagerpb.ListSecretVersionsRequest{Parent: testSecret, Filter: test.filter, PageSize: test.size})
		got := ""
		v, err := it.Next()
		for ; err == nil; v, err = it.Next() {
			got += v.Name[strings.LastIndexByte(v.Name, '/')+1:]
		}
		if got != test.want || err != iterator.Done {
			t.Errorf("filter %q by %d: got %s (%v), want %s", test.filter, test.size, got, err, test.want)
		}
	}
	list := func(req *secretmanagerpb.ListSecretVersionsRequest) error {
		return second(c.ListSecretVersions(ctx, req).Next())
	}
	wantCode(t, list(&secretmanagerpb.ListSecretVersionsRequest{Parent: testSecret, PageSize: -1}), codes.InvalidArgument)
	wantCode(t, list(&secretmanagerpb.ListSecretVersionsRequest{Parent: testSecret, PageToken: "x"}), codes.InvalidArgument)
	wantCode(t, list(&secretmanagerpb.ListSecretVersionsRequest{Parent: testSecret, Filter: "name:x"}), codes.Unimplemented)
	wantCode(t, list(&secretmanagerpb.ListSecretVersionsRequest{Parent: testSecret + "2"}), codes.NotFound)
}

func TestSecretPermissions(t *testing.T) {
	c := secretClient(t)
	asked := []string{"secretmanager.versions.access", "secretmanager.versions.list"}
	for resource, want := range map[string][]string{testSecret: asked, testSecret + "2": nil} {
		res, err := c.TestIamPermissions(t.Context(), &iampb.TestIamPermissionsRequest{Resource: resource, Permissions: asked})
		if err != nil || !slices.Equal(res.Permissions, want) {
			t.Errorf("%s: got %v (%v), want %v", resource, res, err, want)
		}
	}
}

func TestSecretsConcurrently(t *testing.T) {
	ctx, c := t.Context(), secretClient(t, "one")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				wantCode(t, addVersion(ctx, c, []byte("x")), codes.OK)
				wantCode(t, disable(ctx, c, "1"), codes.OK)
				wantCode(t, second(c.ListSecretVersions(ctx, &secretmanagerpb.ListSecretVersionsRequest{Parent: testSecret}).Next()), codes.OK)
			}
		})
	}
	wg.Wait()
	if got, err := access(ctx, c, "latest"); got != "41 x" {
		t.Errorf("got %q (%v), want 41 versions", got, err)
	}
}
