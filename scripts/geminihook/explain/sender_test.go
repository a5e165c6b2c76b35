package explain_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"crypto"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	svix "github.com/svix/svix-webhooks/go"

	"github.com/geminihook/geminihook/scripts/geminihook/explain"
	"github.com/geminihook/geminihook/shared/webhook"
)

// A sent is a delivery made without geminihook's own code: the libraries of Standard
// Webhooks and Svix sign v1, and the crypto packages sign v1a and JWTs.
type sent struct {
	by        *sender
	scheme    string // v1, svix, v1a or jwt
	id        string
	at        time.Time
	body      []byte
	signature string
	headers   [][2]string // others
	to        explain.Receiver
	claims    map[string]any // of a token; nil means those of a genuine one
}

// A sender holds a sender's keys.
type sender struct {
	key     []byte
	ed25519 ed25519.PrivateKey
	rsa     *rsa.PrivateKey
}

func newSender(t *testing.T) *sender {
	t.Helper()
	s := &sender{key: make([]byte, 32)}
	for s.key[0] == 0 || bytes.IndexFunc(s.key, func(r rune) bool { return r < ' ' || r > '~' }) < 0 { // bytes that are no text
		_, _ = rand.Read(s.key)
	}
	_, s.ed25519, _ = ed25519.GenerateKey(rand.Reader)
	var err error
	if s.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *sender) secret() string { return "whsec_" + base64.StdEncoding.EncodeToString(s.key) }

const theAudience = "https://receiver.example/DynamicWebhook"

// receiver returns the endpoint for a scheme.
func (s *sender) receiver(scheme string) explain.Receiver {
	if scheme == "v1" || scheme == "svix" {
		return explain.Receiver{Secrets: []string{s.secret()}}
	}
	return explain.Receiver{Audiences: []string{theAudience}, Keys: []webhook.PublicKey{{Key: s.ed25519.Public()}, {ID: "rsa", Key: s.rsa.Public()}}}
}

// event returns a body as in Gemini's documentation, encoded like JSON.stringify, with
// characters that JSON encoders escape differently.
func event(at time.Time) []byte {
	return fmt.Appendf(nil, `{"type":"batch.succeeded","version":"v1","timestamp":"%s","data":{"id":"batches/é😀","output_file_uri":"files/a<b>&c"}}`,
		at.UTC().Format(time.RFC3339))
}

// deliver returns a genuine delivery with the current time. Its signature contains a
// character that differs between base64 and base64url.
func (s *sender) deliver(scheme string) *sent {
	now := time.Now()
	d := &sent{by: s, scheme: scheme, at: now, body: event(now), to: s.receiver(scheme)}
	for i := 0; !strings.ContainsAny(d.signature, "+/"); i++ {
		d.id = fmt.Sprintf("msg_%d", i)
		if d.sign(); scheme == "jwt" {
			break
		}
	}
	return d
}

// sign signs the delivery with its current fields.
func (d *sent) sign() {
	var err error
	content := append([]byte(d.id+"."+d.timestamp()+"."), d.body...)
	switch d.scheme {
	case "v1":
		var library *standardwebhooks.Webhook
		if library, err = standardwebhooks.NewWebhookRaw(d.by.key); err == nil {
			d.signature, err = library.Sign(d.id, d.at, d.body)
		}
	case "svix":
		var library *svix.Webhook
		if library, err = svix.NewWebhookRaw(d.by.key); err == nil {
			d.signature, err = library.Sign(d.id, d.at, d.body)
		}
	case "v1a":
		d.signature = "v1a," + base64.StdEncoding.EncodeToString(ed25519.Sign(d.by.ed25519, content))
	case "jwt":
		d.signature, err = d.token()
	}
	if err != nil {
		panic(err)
	}
}

func (d *sent) timestamp() string { return strconv.FormatInt(d.at.Unix(), 10) }

// token returns a compact JWT (RFC 7515), made with the crypto packages only.
func (d *sent) token() (string, error) {
	claims := map[string]any{"aud": theAudience, "iat": d.at.Unix(), "exp": d.at.Add(10 * time.Minute).Unix()}
	_ = json.Unmarshal(d.body, &claims) // carries the event, if the body is one
	for name, value := range d.claims {
		claims[name] = value
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	b64 := base64.RawURLEncoding.EncodeToString
	signed := b64([]byte(`{"alg":"RS256","kid":"rsa"}`)) + "." + b64(payload)
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(nil, d.by.rsa, crypto.SHA256, digest[:])
	return signed + "." + b64(signature), err
}

// hmac returns the HMAC of any content with the sender's key.
func (s *sender) hmac(content string) []byte {
	m := hmac.New(sha256.New, s.key)
	m.Write([]byte(content))
	return m.Sum(nil)
}

// raw returns the signature's bytes.
func (d *sent) raw() []byte {
	_, text, _ := strings.Cut(d.signature, ",")
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		panic(err)
	}
	return raw
}

// version returns the version of a signature that is not a JWT.
func (d *sent) version() string {
	version, _, _ := strings.Cut(d.signature, ",")
	return version
}

// all returns the headers in order.
func (d *sent) all() [][2]string {
	all := [][2]string{{"Host", "receiver.example"}, {"Content-Type", "application/json"}}
	all = append(all, d.headers...)
	if d.signature == "" {
		return all
	}
	return append(all, [2]string{"Webhook-Id", d.id}, [2]string{"Webhook-Timestamp", d.timestamp()}, [2]string{"Webhook-Signature", d.signature})
}

func compress(body []byte, how string) []byte {
	var b bytes.Buffer
	var w io.WriteCloser
	switch how {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "deflate":
		w = zlib.NewWriter(&b)
	case "raw":
		w, _ = flate.NewWriter(&b, flate.BestSpeed)
	}
	_, _ = w.Write(body)
	w.Close()
	return b.Bytes()
}

// chunks encodes a body in HTTP/1.1's chunked encoding.
func chunks(body []byte) []byte {
	half := len(body) / 2
	return fmt.Appendf(nil, "%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", half, body[:half], len(body)-half, body[half:])
}
