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

// Findings of a body that stands in something.
var (
	compressed = finding{BodyCompressed, "the body was compressed on the way, and the sender signed it as it was before",
		"have the proxy or the client that compresses request bodies leave them alone: the functions verify the bytes as they arrive, and decode nothing"}
	decompressed = finding{BodyCompressed, "the body is not what its content-encoding says: it was compressed or decompressed between the sender and the capture",
		"verify and capture the bytes before a framework inflates them, and have no proxy compress them"}
	chunked = finding{BodyChunks, "the body has chunk framing in it, which belongs to the connection and was not signed",
		"read the body through the HTTP server (io.ReadAll(r.Body)), not from the socket, and capture it from there"}
)

// packed are the guesses that take the body out of what it was put into.
func packed(body []byte) []rewriting {
	var all []rewriting
	for _, encoding := range encodings {
		if plain, err := encoding.open(body); err == nil {
			all = append(all, rewriting{"decompressed (" + encoding.name + ")", plain, compressed})
		}
	}
	if plain, _, ok := dechunk(body); ok {
		all = append(all, rewriting{"taken out of its chunks", plain, chunked})
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

// with decompresses with a reader, and bounds what a small body can become.
func with[R io.Reader](newReader func(io.Reader) (R, error)) func(body []byte) ([]byte, error) {
	return func(body []byte) ([]byte, error) {
		r, err := newReader(bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		return io.ReadAll(io.LimitReader(r, receiver.MaxBody))
	}
}

// looksPacked returns what explains that the body is not the one that was signed, if its
// form or its headers tell, and a zero finding if they do not.
func (x *examination) looksPacked() finding {
	body := x.capture.Body
	encoding := strings.ToLower(strings.TrimSpace(x.capture.Header.Get("Content-Encoding")))
	mangled := []byte("\x1f\ufffd\b") // gzip's first bytes in a text
	switch {
	case x.capture.cut != "":
		return finding{BodyChunks, "the body's chunk framing is cut: " + x.capture.cut, "capture the body whole, best behind the HTTP server, which takes it out of its chunks"}
	case bytes.HasPrefix(body, []byte("\x1f\x8b")), bytes.HasPrefix(body, mangled), bytes.HasPrefix(body, []byte("\x28\xb5\x2f\xfd")):
		return compressed
	case encoding == "" || encoding == "identity":
	case slices.Contains([]string{"[", "{"}, string(body[:min(1, len(body))])):
		return decompressed
	default:
		return compressed
	}
	if chunkStart.Match(body) || chunkEnd.Match(body) {
		return finding{BodyChunks, "the body has the beginning or the end of chunk framing in it", chunked.do}
	}
	return finding{}
}
