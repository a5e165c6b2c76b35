package serve

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/geminihook/geminihook/shared/gcptest/cloudrun"
)

// The proxy forwards a request unchanged: path, query, host, header values, body, and
// the choice between Content-Length and chunks.
func TestProxyChangesNothing(t *testing.T) {
	type request struct {
		URI, Host string
		Header    http.Header
		Length    int64
		Encoding  []string
		Body      string
	}
	var got request
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got = request{r.RequestURI, r.Host, r.Header, r.ContentLength, r.TransferEncoding, string(body)}
	}))
	defer receiver.Close()
	f := &function{instance: &cloudrun.Instance{Addr: receiver.Listener.Addr().String()}}
	front := httptest.NewServer(f.proxy(nil))
	defer front.Close()

	header := http.Header{
		"Webhook-Id": {"one", "two"}, "Webhook-Signature": {"v1,a  v1,b\tv1,c"}, "Empty": {""}, "Latin": {"caf\xe9"}, "Utf8": {"café"},
		"X-Forwarded-For": {"192.0.2.1"}, "X-Forwarded-Proto": {"https"}, "Forwarded": {"for=192.0.2.1"}, "Accept-Encoding": {"br"},
	}
	long := strings.Repeat("x", 100_000)
	for _, tt := range []struct {
		name, more, body string
		want             request
	}{
		{"length", "Content-Length: 8\r\n", "\x00\xff{\"\r\n\t ", request{Length: 8, Body: "\x00\xff{\"\r\n\t "}},
		{"no body", "Content-Length: 0\r\n", "", request{}},
		{"chunks", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n", request{Length: -1, Encoding: []string{"chunked"}, Body: "abc"}},
		{"long", fmt.Sprintf("Content-Length: %d\r\n", len(long)), long, request{Length: int64(len(long)), Body: long}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.URI, tt.want.Host, tt.want.Header = "/a%2Fb//c?token=%zz&a;b=+", "hook.example.com", maps.Clone(header)
			if tt.want.Length >= 0 {
				tt.want.Header.Set("Content-Length", fmt.Sprint(tt.want.Length))
			}
			var text strings.Builder
			fmt.Fprintf(&text, "POST %s HTTP/1.1\r\nHost: %s\r\n", tt.want.URI, tt.want.Host)
			for name, values := range header {
				for _, value := range values {
					fmt.Fprintf(&text, "%s: %s\r\n", name, value)
				}
			}
			text.WriteString(tt.more + "\r\n" + tt.body)
			if status := exchange(t, front.Listener.Addr().String(), text.String()); status != http.StatusOK {
				t.Fatalf("answered %d", status)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("the function got\n%.2000v\nwant\n%.2000v", got, tt.want)
			}
		})
	}
}

// exchange sends the text of a request and returns the status of the answer.
func exchange(t *testing.T, addr, text string) int {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}
