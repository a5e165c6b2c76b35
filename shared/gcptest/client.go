package gcptest

import (
	"context"

	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// ClientOptions returns the options for a Google client of a server at addr, HOST:PORT:
// a [Server], an official emulator, or a proxy in front of one. The client sends an
// administrator's credential, which the official Firestore emulator requires for
// BatchWrite. Other servers ignore it.
func ClientOptions(addr string) []option.ClientOption {
	return []option.ClientOption{
		option.WithEndpoint(addr), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
		option.WithGRPCDialOption(grpc.WithPerRPCCredentials(administrator{})),
	}
}

// administrator is the credential that the official Firestore emulator requires for
// BatchWrite. Other servers ignore it.
type administrator struct{}

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (administrator) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer owner"}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (administrator) RequireTransportSecurity() bool { return false }
