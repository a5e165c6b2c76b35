package explain

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"strings"

	"github.com/geminihook/geminihook/shared/webhook"
)

// A signature is a decoded entry of the webhook-signature header.
type signature struct {
	raw  []byte
	form string // its encoding; empty for padded standard base64
}

// signatures decodes the entries with the endpoint's version, at most as many as its
// verifier accepts.
func (x *examination) signatures() []signature {
	version, most := string(webhook.V1), 16
	if x.dynamic() {
		version, most = string(webhook.V1a), 4
	}
	var all []signature
	for _, entry := range x.header.entries() {
		if text, ok := strings.CutPrefix(entry, version+","); ok && most > 0 {
			all, most = append(all, decodeSignature(text)...), most-1
		}
	}
	return all
}

// decodeSignature decodes a signature in each encoding that a signer may have used.
func decodeSignature(text string) (all []signature) {
	add := func(raw []byte, err error, form string) {
		if err == nil && !slices.ContainsFunc(all, func(s signature) bool { return bytes.Equal(s.raw, raw) }) {
			all = append(all, signature{raw, form})
		}
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	add(raw, err, "")
	raw, err = hex.DecodeString(text)
	add(raw, err, "in hex")
	bare, form := strings.TrimRight(text, "="), "in base64 with non-zero trailing bits"
	if bare == text {
		form = "in base64 without padding"
	}
	raw, err = base64.RawStdEncoding.DecodeString(bare)
	add(raw, err, form)
	raw, err = base64.RawURLEncoding.DecodeString(bare)
	add(raw, err, "in base64url, with - and _ instead of + and /")
	return all
}

// A signer is a guess at the key and the algorithm. signed reports whether a signature
// in the header matches, and its encoding.
type signer struct {
	finding
	signed func(id, timestamp string, body []byte) (form string, ok bool)
}

// A match is a combination of guesses with which a signature matches.
type match struct {
	who       finding
	body      rewriting
	id        string
	timestamp string
	form      string
}

// search looks for a match: first with one difference from the captured request, then
// with two.
func (x *examination) search() (match, bool) {
	signers, bodies := x.signers(), slices.Collect(rewritings(x.capture.Body, x.capture.parsed))
	most := 2
	if len(x.capture.Body) > 16<<10 { // two differences take hundreds of passes over the body
		most = 1
	}
	x.tried = fmt.Sprintf("%d forms of the body with %d guesses at the key", len(bodies), len(signers))
	for changes := range most + 1 {
		for i, body := range bodies {
			for j, s := range signers {
				if m, ok := x.try(s, body, changes-count(i > 0, j > 0)); ok {
					return m, true
				}
			}
		}
	}
	return match{}, false
}

func count(changes ...bool) (n int) {
	for _, changed := range changes {
		if changed {
			n++
		}
	}
	return n
}

// try tries the ids and timestamps with exactly this number of differences from the
// captured ones. It fails if changes is negative.
func (x *examination) try(s signer, body rewriting, changes int) (match, bool) {
	for i, id := range x.ids() {
		for j, timestamp := range x.timestamps() {
			if count(i > 0, j > 0) != changes {
				continue
			}
			if form, ok := s.signed(id, timestamp, body.body); ok {
				return match{s.finding, body, id, timestamp, form}, true
			}
		}
	}
	return match{}, false
}

// ids returns guesses at the signed id.
func (x *examination) ids() []string { return distinct(x.header.id, x.header.rawID) }

// timestamps returns guesses at the signed timestamp.
func (x *examination) timestamps() []string {
	return distinct(x.header.timestamp, x.header.seconds, x.header.rawTimestamp)
}

func distinct(texts ...string) (all []string) {
	for _, text := range texts {
		if text != "" && !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	return all
}

// signers returns guesses at the key and the algorithm, the simplest first.
func (x *examination) signers() []signer {
	signatures := x.signatures()
	if x.dynamic() {
		return []signer{{signed: x.signedV1a(signatures)}}
	}
	var all, others []signer
	for _, s := range x.secrets() {
		all = append(all, signer{s.finding, signedV1(s.key, signatures)})
		if s.cause == "" { // other schemes are tried only with valid secrets
			others = append(others, otherSchemes(s.key, signatures)...)
		}
	}
	return append(all, others...)
}

func signedV1(key []byte, signatures []signature) func(id, timestamp string, body []byte) (string, bool) {
	return func(id, timestamp string, body []byte) (string, bool) {
		return anyOf(signatures, mac(sha256.New, key, id+"."+timestamp+".", body))
	}
}

func mac(hash func() hash.Hash, key []byte, before string, body []byte) []byte {
	m := hmac.New(hash, key)
	m.Write([]byte(before))
	m.Write(body)
	return m.Sum(nil)
}

func anyOf(signatures []signature, want []byte) (string, bool) {
	for _, s := range signatures {
		if hmac.Equal(s.raw, want) {
			return s.form, true
		}
	}
	return "", false
}

// otherSchemes returns signers that use the correct key with another algorithm or other
// content than v1.
func otherSchemes(key []byte, signatures []signature) []signer {
	var all []signer
	for _, h := range []struct {
		name string
		new  func() hash.Hash
	}{{"SHA-256", sha256.New}, {"SHA-1", sha1.New}, {"SHA-512", sha512.New}} {
		for _, content := range []struct {
			what   string
			before func(id, timestamp string) string
		}{
			{"id.timestamp.body", func(id, timestamp string) string { return id + "." + timestamp + "." }},
			{"only the body, as by GitHub", func(_, _ string) string { return "" }},
			{"timestamp.body, as by Stripe", func(_, timestamp string) string { return timestamp + "." }},
			{"v0:timestamp:body, as by Slack", func(_, timestamp string) string { return "v0:" + timestamp + ":" }},
			{"id.body", func(id, _ string) string { return id + "." }},
		} {
			if h.name == "SHA-256" && content.what == "id.timestamp.body" {
				continue
			}
			f := finding{OtherScheme, fmt.Sprintf("the signature has another scheme: HMAC with %s over %s", h.name, content.what), otherScheme}
			all = append(all, signer{f, func(id, timestamp string, body []byte) (string, bool) {
				return anyOf(signatures, mac(h.new, key, content.before(id, timestamp), body))
			}})
		}
	}
	return all
}

func (x *examination) signedV1a(signatures []signature) func(id, timestamp string, body []byte) (string, bool) {
	return func(id, timestamp string, body []byte) (string, bool) {
		content := append([]byte(id+"."+timestamp+"."), body...)
		for _, s := range signatures {
			for _, k := range x.to.Keys {
				if key, ok := k.Key.(ed25519.PublicKey); ok && ed25519.Verify(key, content, s.raw) {
					return s.form, true
				}
			}
		}
		return "", false
	}
}
