package gcptest

import (
	"context"

	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// AddSecret adds a secret to a project, unless it is there, and a version for each value,
// the last one newest. It returns the newest version's full name, "" without values. Its
// errors are those of CreateSecret and AddSecretVersion.
func (m *SecretManager) AddSecret(ctx context.Context, project, id string, values ...string) (newest string, err error) {
	parent := "projects/" + project
	_, err = m.CreateSecret(ctx, &secretmanagerpb.CreateSecretRequest{
		Parent: parent, SecretId: id,
		Secret: &secretmanagerpb.Secret{Replication: &secretmanagerpb.Replication{
			Replication: &secretmanagerpb.Replication_Automatic_{Automatic: &secretmanagerpb.Replication_Automatic{}},
		}},
	})
	if err != nil && status.Code(err) != codes.AlreadyExists {
		return "", err
	}
	for _, value := range values {
		version, err := m.AddSecretVersion(ctx, &secretmanagerpb.AddSecretVersionRequest{
			Parent: parent + "/secrets/" + id, Payload: &secretmanagerpb.SecretPayload{Data: []byte(value)},
		})
		if err != nil {
			return newest, err
		}
		newest = version.Name
	}
	return newest, nil
}
