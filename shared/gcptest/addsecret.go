package gcptest

import (
	"context"

	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// AddSecret creates a secret in a project if it does not exist, and adds a version
// for each value, in order. It returns the full name of the newest version it added,
// or "" if there are no values. Its errors are those of [SecretManager.CreateSecret]
// and [SecretManager.AddSecretVersion].
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
