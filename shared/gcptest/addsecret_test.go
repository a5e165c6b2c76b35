package gcptest_test

import (
	"strings"
	"testing"

	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/grpc/codes"

	"github.com/geminihook/geminihook/shared/gcptest"
)

func TestAddSecret(t *testing.T) {
	m := gcptest.NewSecretManager()
	for _, test := range []struct {
		values []string
		newest string
	}{
		{nil, ""},
		{[]string{"a", "b"}, "projects/p/secrets/s/versions/2"},
		{[]string{"c"}, "projects/p/secrets/s/versions/3"},
	} {
		if got, err := m.AddSecret(t.Context(), "p", "s", test.values...); err != nil || got != test.newest {
			t.Errorf("%q: %q, %v; want %q", test.values, got, err, test.newest)
		}
	}
	got, err := m.AccessSecretVersion(t.Context(), &secretmanagerpb.AccessSecretVersionRequest{Name: "projects/p/secrets/s/versions/latest"})
	if err != nil || string(got.Payload.Data) != "c" {
		t.Errorf("the newest version is %v, %v", got, err)
	}
	_, err = m.AddSecret(t.Context(), "p", "not a name", "a")
	wantCode(t, err, codes.InvalidArgument)
	_, err = m.AddSecret(t.Context(), "p", "s", strings.Repeat("x", 64<<10+1))
	wantCode(t, err, codes.InvalidArgument)
}
