package gcptest

import (
	"context"
	"fmt"
	"hash/crc32"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"cloud.google.com/go/iam/apiv1/iampb"
	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	maxPayload  = 64 << 10 // Secret Manager's limit on one version's data, in bytes
	maxVersions = 25_000   // Secret Manager's limit on a page of versions, and its default
)

var (
	secretName  = regexp.MustCompile(`^projects/[^/]+(?:/locations/[^/]+)?/secrets/[a-zA-Z0-9_-]{1,255}$`)
	stateFilter = regexp.MustCompile(`^\s*state\s*[:=]\s*(ENABLED|DISABLED|DESTROYED)\s*$`)
	castagnoli  = crc32.MakeTable(crc32.Castagnoli)
)

// A SecretManager is a [secretmanagerpb.SecretManagerServiceServer] with global and
// regional secrets in memory. It returns names as they were in the request; the real
// one replaces the project's id by its number. It is safe for concurrent use, over
// gRPC or by calling its methods; create one with [NewSecretManager].
//
// All callers have all permissions. Etags are not implemented.
type SecretManager struct {
	secretmanagerpb.UnimplementedSecretManagerServiceServer

	mu      sync.Mutex
	secrets map[string]*secret // by name
}

type secret struct {
	about    *secretmanagerpb.Secret
	versions []*version // the oldest first: version n is at n-1
}

type version struct {
	about *secretmanagerpb.SecretVersion // replaced, not changed: gRPC may be encoding it for an answer
	data  []byte
}

// NewSecretManager returns a SecretManager without secrets.
func NewSecretManager() *SecretManager {
	return &SecretManager{secrets: map[string]*secret{}}
}

// Register implements [Service].
func (m *SecretManager) Register(s grpc.ServiceRegistrar) {
	secretmanagerpb.RegisterSecretManagerServiceServer(s, m)
}

// CreateSecret creates a secret without versions. It fails with InvalidArgument if a
// global secret has no replication, as the real one does, and with AlreadyExists if
// the secret exists.
func (m *SecretManager) CreateSecret(_ context.Context, req *secretmanagerpb.CreateSecretRequest) (*secretmanagerpb.Secret, error) {
	name := req.Parent + "/secrets/" + req.SecretId
	if !secretName.MatchString(name) {
		return nil, invalid("bad secret name %q", name)
	}
	if req.Secret.GetReplication() == nil && !strings.Contains(req.Parent, "/locations/") {
		return nil, invalid("a global secret must have a replication")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.secrets[name] != nil {
		return nil, status.Errorf(codes.AlreadyExists, "secret %q already exists", name)
	}
	about := proto.CloneOf(req.Secret)
	about.Name, about.CreateTime = name, timestamppb.Now()
	m.secrets[name] = &secret{about: about}
	return about, nil
}

// GetSecret returns the properties of a secret. It fails with NotFound if the secret
// does not exist.
func (m *SecretManager) GetSecret(_ context.Context, req *secretmanagerpb.GetSecretRequest) (*secretmanagerpb.Secret, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.secret(req.Name)
	if err != nil {
		return nil, err
	}
	return s.about, nil
}

// secret returns the secret with this full name. The caller holds the lock.
func (m *SecretManager) secret(name string) (*secret, error) {
	if !secretName.MatchString(name) {
		return nil, invalid("bad secret name %q", name)
	}
	if s := m.secrets[name]; s != nil {
		return s, nil
	}
	return nil, status.Errorf(codes.NotFound, "secret %q not found", name)
}

// AddSecretVersion adds an enabled version. It fails with InvalidArgument if the data
// is not 1 to 65,536 bytes or the request has a checksum that does not match, and
// with NotFound if the secret does not exist.
func (m *SecretManager) AddSecretVersion(_ context.Context, req *secretmanagerpb.AddSecretVersionRequest) (*secretmanagerpb.SecretVersion, error) {
	data := req.Payload.GetData()
	if len(data) == 0 || len(data) > maxPayload {
		return nil, invalid("payload of %d bytes, must be 1 to %d", len(data), maxPayload)
	}
	if sum := req.Payload.DataCrc32C; sum != nil && *sum != checksum(data) {
		return nil, invalid("payload checksum mismatch")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.secret(req.Parent)
	if err != nil {
		return nil, err
	}
	v := &version{data: slices.Clone(data), about: &secretmanagerpb.SecretVersion{
		Name:                           fmt.Sprintf("%s/versions/%d", req.Parent, len(s.versions)+1),
		CreateTime:                     timestamppb.Now(),
		State:                          secretmanagerpb.SecretVersion_ENABLED,
		ClientSpecifiedPayloadChecksum: req.Payload.DataCrc32C != nil,
	}}
	s.versions = append(s.versions, v)
	return v.about, nil
}

// checksum returns the CRC-32C of data, as Secret Manager does.
func checksum(data []byte) int64 { return int64(crc32.Checksum(data, castagnoli)) }

// version returns the version with this full name. The number "latest" is the newest
// version in any state. The caller holds the lock.
func (m *SecretManager) version(name string) (*version, error) {
	parent, number, ok := strings.Cut(name, "/versions/")
	if !ok {
		return nil, invalid("bad version name %q", name)
	}
	s, err := m.secret(parent)
	if err != nil {
		return nil, err
	}
	n := len(s.versions)
	if number != "latest" {
		if n, err = strconv.Atoi(number); err != nil {
			return nil, invalid("bad version name %q", name)
		}
	}
	if n < 1 || n > len(s.versions) {
		return nil, status.Errorf(codes.NotFound, "version %q not found", name)
	}
	return s.versions[n-1], nil
}

// GetSecretVersion returns the properties of a version, which may be "latest". It
// fails with NotFound if the version does not exist.
func (m *SecretManager) GetSecretVersion(_ context.Context, req *secretmanagerpb.GetSecretVersionRequest) (*secretmanagerpb.SecretVersion, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, err := m.version(req.Name)
	if err != nil {
		return nil, err
	}
	return v.about, nil
}

// AccessSecretVersion returns the data of a version and its checksum. It fails with
// NotFound if the version does not exist, and with FailedPrecondition if it is not
// enabled. So "latest" fails if the newest version is disabled, even if an older one
// is enabled.
func (m *SecretManager) AccessSecretVersion(_ context.Context, req *secretmanagerpb.AccessSecretVersionRequest) (*secretmanagerpb.AccessSecretVersionResponse, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, err := m.version(req.Name)
	if err != nil {
		return nil, err
	}
	if v.about.State != secretmanagerpb.SecretVersion_ENABLED {
		return nil, status.Errorf(codes.FailedPrecondition, "version %q is in state %s", v.about.Name, v.about.State)
	}
	return &secretmanagerpb.AccessSecretVersionResponse{Name: v.about.Name, Payload: &secretmanagerpb.SecretPayload{
		Data: slices.Clone(v.data), DataCrc32C: proto.Int64(checksum(v.data))}}, nil
}

// ListSecretVersions returns a page of versions, the newest first. The filter is
// empty or selects one state: "state:ENABLED" or "state=ENABLED". Other filters fail
// with Unimplemented.
func (m *SecretManager) ListSecretVersions(_ context.Context, req *secretmanagerpb.ListSecretVersionsRequest) (*secretmanagerpb.ListSecretVersionsResponse, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.secret(req.Parent)
	if err != nil {
		return nil, err
	}
	listed, err := filterVersions(s.versions, req.Filter)
	if err != nil {
		return nil, err
	}
	from, to, err := page(len(listed), req.PageSize, req.PageToken)
	if err != nil {
		return nil, err
	}
	res := &secretmanagerpb.ListSecretVersionsResponse{Versions: listed[from:to], TotalSize: int32(len(listed))}
	if to < len(listed) {
		res.NextPageToken = strconv.Itoa(to)
	}
	return res, nil
}

// filterVersions returns the versions that match a filter, the newest first.
func filterVersions(versions []*version, filter string) (out []*secretmanagerpb.SecretVersion, err error) {
	state := stateFilter.FindStringSubmatch(filter)
	if state == nil && filter != "" {
		return nil, unmodelled(fmt.Sprintf("the filter %q", filter))
	}
	for _, v := range slices.Backward(versions) {
		if state == nil || v.about.State.String() == state[1] {
			out = append(out, v.about)
		}
	}
	return out, nil
}

// page returns the bounds of a page of n entries. A token is the index of the first
// entry of its page.
func page(n int, size int32, token string) (from, to int, err error) {
	if token != "" {
		from, err = strconv.Atoi(token)
	}
	if err != nil || from < 0 || from > n || size < 0 {
		return 0, 0, invalid("bad page token or page size")
	}
	if size == 0 || size > maxVersions {
		size = maxVersions
	}
	return from, min(n, from+int(size)), nil
}

// EnableSecretVersion enables a version. It fails with FailedPrecondition if the
// version is destroyed.
func (m *SecretManager) EnableSecretVersion(_ context.Context, req *secretmanagerpb.EnableSecretVersionRequest) (*secretmanagerpb.SecretVersion, error) {
	return m.setState(req, secretmanagerpb.SecretVersion_ENABLED)
}

// DisableSecretVersion disables a version. It fails with FailedPrecondition if the
// version is destroyed.
func (m *SecretManager) DisableSecretVersion(_ context.Context, req *secretmanagerpb.DisableSecretVersionRequest) (*secretmanagerpb.SecretVersion, error) {
	return m.setState(req, secretmanagerpb.SecretVersion_DISABLED)
}

// DestroySecretVersion deletes the data of a version. It fails with
// FailedPrecondition if the version is destroyed already.
func (m *SecretManager) DestroySecretVersion(_ context.Context, req *secretmanagerpb.DestroySecretVersionRequest) (*secretmanagerpb.SecretVersion, error) {
	return m.setState(req, secretmanagerpb.SecretVersion_DESTROYED)
}

// setState sets the state of a version. A destroyed version fails with
// FailedPrecondition.
func (m *SecretManager) setState(req interface {
	GetName() string
	GetEtag() string
}, to secretmanagerpb.SecretVersion_State) (*secretmanagerpb.SecretVersion, error) {
	if req.GetEtag() != "" {
		return nil, unmodelled("an etag")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	v, err := m.version(req.GetName())
	if err != nil {
		return nil, err
	}
	if v.about.State == secretmanagerpb.SecretVersion_DESTROYED {
		return nil, status.Errorf(codes.FailedPrecondition, "version %q is destroyed", v.about.Name)
	}
	v.about = proto.CloneOf(v.about)
	v.about.State = to
	if to == secretmanagerpb.SecretVersion_DESTROYED {
		v.about.DestroyTime, v.data = timestamppb.Now(), nil
	}
	return v.about, nil
}

// TestIamPermissions returns all requested permissions if the secret exists, and no
// permissions if it does not, as the real one does.
func (m *SecretManager) TestIamPermissions(_ context.Context, req *iampb.TestIamPermissionsRequest) (*iampb.TestIamPermissionsResponse, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.secrets[req.Resource] == nil {
		return &iampb.TestIamPermissionsResponse{}, nil
	}
	return &iampb.TestIamPermissionsResponse{Permissions: req.Permissions}, nil
}
