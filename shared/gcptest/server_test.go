package gcptest_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cloud.google.com/go/firestore"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/geminihook/geminihook/shared/gcptest"
)

// serve starts s until the end of the test, and returns its address.
func serve(t testing.TB, s gcptest.Service, opts ...grpc.ServerOption) string {
	t.Helper()
	server, err := gcptest.Start("127.0.0.1:0", s, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return server.Addr()
}

// dial connects to addr until the end of the test.
func dial(t testing.TB, addr string, opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(addr, append(opts, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func firestoreClient(t testing.TB, conn *grpc.ClientConn, project, database string) *firestore.Client {
	t.Helper()
	c, err := firestore.NewClientWithDatabase(t.Context(), project, database, option.WithGRPCConn(conn))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// wantCode reports a failure unless err has the code.
func wantCode(t testing.TB, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Errorf("got %v (%v), want %v", got, err, want)
	}
}

func TestStartRefusesOtherAddressesThanLoopback(t *testing.T) {
	for _, addr := range []string{":0", "0.0.0.0:0", "192.0.2.1:0", "[::]:0", "127.0.0.1", ""} {
		if s, err := gcptest.Start(addr, gcptest.NewFirestore()); err == nil {
			s.Close()
			t.Errorf("Start(%q) listens on %s", addr, s.Addr())
		}
	}
	for _, addr := range []string{"127.0.0.1:0", "localhost:0"} {
		s, err := gcptest.Start(addr, gcptest.NewFirestore())
		if err != nil {
			t.Errorf("Start(%q): %v", addr, err)
			continue
		}
		s.Close()
	}
}

func TestStateOutlivesItsServer(t *testing.T) {
	service := gcptest.NewFirestore()
	first, err := gcptest.Start("127.0.0.1:0", service)
	if err != nil {
		t.Fatal(err)
	}
	doc := firestoreClient(t, dial(t, first.Addr()), "p", "(default)").Doc("c/d")
	if _, err := doc.Create(t.Context(), map[string]int{"x": 1}); err != nil {
		t.Fatal(err)
	}
	first.Close()

	second, err := gcptest.Start(first.Addr(), service)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	doc = firestoreClient(t, dial(t, second.Addr()), "p", "(default)").Doc("c/d")
	_, err = doc.Create(t.Context(), map[string]int{"x": 1})
	wantCode(t, err, codes.AlreadyExists)
}

func TestServerOptions(t *testing.T) {
	var calls atomic.Int32
	addr := serve(t, gcptest.NewFirestore(), grpc.UnaryInterceptor(
		func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			if calls.Add(1) == 1 {
				return nil, status.Error(codes.PermissionDenied, "the first call fails")
			}
			return next(ctx, req)
		}))
	doc := firestoreClient(t, dial(t, addr), "p", "(default)").Doc("c/d")
	_, err := doc.Create(t.Context(), map[string]int{})
	wantCode(t, err, codes.PermissionDenied)
	_, err = doc.Create(t.Context(), map[string]int{})
	wantCode(t, err, codes.OK)
	if n := calls.Load(); n != 2 {
		t.Errorf("the interceptor saw %d calls, want 2", n)
	}
}

// The services hold no goroutine, timer or socket, so that the clock of a synctest
// bubble can advance.
func TestSynctest(t *testing.T) {
	t.Setenv("FIRESTORE_EMULATOR_HOST", "") // if it is set, the client opens a TCP connection, even if it does not use it
	synctest.Test(t, func(t *testing.T) {
		server := gcptest.StartInMemory(gcptest.NewFirestore())
		defer server.Close()
		conn, err := server.Dial()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		doc := firestoreClient(t, conn, "p", "(default)").Doc("c/d")

		first, err := doc.Create(t.Context(), map[string]int{"x": 1})
		if err != nil {
			t.Fatal(err)
		}
		again, err := doc.Set(t.Context(), map[string]int{"x": 2})
		if err != nil || !again.UpdateTime.After(first.UpdateTime) {
			t.Errorf("while the clock stands still, %v (%v) is not later than %v", again, err, first)
		}
		time.Sleep(time.Hour)
		snap, err := doc.Get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if age := snap.ReadTime.Sub(snap.UpdateTime).Round(time.Millisecond); age != time.Hour {
			t.Errorf("the document is %v old, want an hour", age)
		}
	})
}
