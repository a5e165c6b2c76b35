package explain

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/geminihook/geminihook/shared/receiver"
)

// The findings for a body that is compressed or chunked.
var (
	compressed = finding{BodyCompressed, "the body was compressed in transit, after the sender signed it",
		"configure the proxy or client not to compress request bodies: the functions verify the bytes as they arrive, and do not decompress them"}
	decompressed = finding{BodyCompressed, "the body does not match its content-encoding: it was compressed or decompressed between the sender and the capture",
		"verify and capture the bytes before a framework decompresses them, and configure proxies not to compress them"}
	chunked = finding{BodyChunks, "the body contains chunk headers, which belong to HTTP's transfer encoding and were not signed",
		"read and capture the body through the HTTP server (io.ReadAll(r.Body)), not from the socket"}
)

// packed returns guesses that decompress the body or remove its chunk headers.
func packed(body []byte) []rewriting {
	var all []rewriting
	for _, encoding := range encodings {
		if plain, err := encoding.open(body); err == nil {
			all = append(all, rewriting{"decompressed (" + encoding.name + ")", plain, compressed})
		}
	}
	if plain, _, ok := dechunk(body); ok {
		all = append(all, rewriting{"without chunk headers", plain, chunked})
	}
	return all
}

var (
	chunkEnd   = regexp.MustCompile(`\r?\n0\r?\n(\r?\n)?$`)
	chunkStart = regexp.MustCompile(`^[0-9a-fA-F]{1,7}\r?\n[\[{]`)
)

var encodings = []struct {
	name string
	open func(body []byte) ([]byte, error)
}{
	{"gzip", with(gzip.NewReader)},
	{"deflate", with(zlib.NewReader)},
	{"deflate, without the zlib format", with(func(r io.Reader) (io.Reader, error) { return flate.NewReader(r), nil })},
}

// with returns a function that decompresses a body. The result is at most
// receiver.MaxBody long, because a small body may decompress to a huge one.
func with[R io.Reader](newReader func(io.Reader) (R, error)) func(body []byte) ([]byte, error) {
	return func(body []byte) ([]byte, error) {
		r, err := newReader(bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		return io.ReadAll(io.LimitReader(r, receiver.MaxBody))
	}
}

// looksPacked returns the finding for a body that looks compressed or chunked by its
// first bytes or its headers. It is zero if the body does not.
func (x *examination) looksPacked() finding {
	body := x.capture.Body
	encoding := strings.ToLower(strings.TrimSpace(x.capture.Header.Get("Content-Encoding")))
	mangled := []byte("\x1f\ufffd\b") // gzip's first bytes after conversion to UTF-8
	switch {
	case x.capture.cut != "":
		return finding{BodyChunks, "the body's chunked encoding is incomplete: " + x.capture.cut, "capture the complete body, preferably through the HTTP server, which removes the chunk headers"}
	case bytes.HasPrefix(body, []byte("\x1f\x8b")), bytes.HasPrefix(body, mangled), bytes.HasPrefix(body, []byte("\x28\xb5\x2f\xfd")):
		return compressed
	case encoding == "" || encoding == "identity":
	case slices.Contains([]string{"[", "{"}, string(body[:min(1, len(body))])):
		return decompressed
	default:
		return compressed
	}
	if chunkStart.Match(body) || chunkEnd.Match(body) {
		return finding{BodyChunks, "the body contains part of a chunked encoding", chunked.do}
	}
	return finding{}
}
