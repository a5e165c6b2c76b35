package explain_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/geminihook/geminihook/scripts/geminihook/explain"
	"github.com/geminihook/geminihook/shared/receiver"
)

// A form is a format of a capture.
type form struct {
	name  string
	text  bool // only a body that is text can be written so
	raw   bool // raw HTTP, in which chunk framing belongs
	write func(d *sent) []byte
}

func rawHTTP(d *sent) []byte {
	var b bytes.Buffer
	b.WriteString("POST /Webhook?token=the-url-token-of-the-test HTTP/1.1\r\n")
	for _, h := range d.all() {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	b.WriteString("\r\n")
	b.Write(d.body)
	return b.Bytes()
}

func asJSON(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return text
}

func (d *sent) headerMap() map[string]any {
	headers := map[string]any{}
	for _, h := range d.all() {
		headers[strings.ToLower(h[0])] = h[1]
	}
	return headers
}

func (d *sent) headerLists() map[string][]string {
	headers := map[string][]string{}
	for _, h := range d.all() {
		headers[h[0]] = append(headers[h[0]], h[1])
	}
	return headers
}

// asBuffer encodes bytes like JSON.stringify with a Buffer.
func asBuffer(body []byte) any {
	data := make([]int, len(body))
	for i := range body {
		data[i] = int(body[i])
	}
	return map[string]any{"type": "Buffer", "data": data}
}

// asPython encodes bytes like Python's repr.
func asPython(body []byte) string {
	var b strings.Builder
	for _, c := range body {
		switch {
		case c == '\'' || c == '\\':
			b.WriteString(`\` + string(rune(c)))
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\r':
			b.WriteString(`\r`)
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	return "b'" + b.String() + "'"
}

func asUTF16(text []byte) []byte {
	wide := []byte{0xff, 0xfe}
	for _, unit := range utf16.Encode([]rune(string(text))) {
		wide = append(wide, byte(unit), byte(unit>>8))
	}
	return wide
}

var forms = []form{
	{"raw HTTP", false, true, rawHTTP},
	{"raw HTTP in UTF-16", true, true, func(d *sent) []byte { return asUTF16(rawHTTP(d)) }},
	{"raw HTTP with a byte order mark", false, true, func(d *sent) []byte { return append([]byte("\ufeff"), rawHTTP(d)...) }},
	{"Express, rawBody", false, false, func(d *sent) []byte {
		return asJSON(map[string]any{"method": "POST", "headers": d.headerMap(), "body": map[string]any{}, "rawBody": asBuffer(d.body)})
	}},
	{"text", true, false, func(d *sent) []byte {
		return asJSON(map[string]any{"headers": d.headerLists(), "content": string(d.body)})
	}},
	{"pairs, base64", false, false, func(d *sent) []byte {
		return asJSON(map[string]any{"headers": d.all(), "body": d.body, "isBase64Encoded": true})
	}},
	{"Python", false, false, func(d *sent) []byte {
		var headers []string
		for _, h := range d.all() {
			headers = append(headers, fmt.Sprintf("'%s': '%s'", h[0], h[1]))
		}
		return []byte("{" + strings.Join(headers, ", ") + "}\n" + asPython(d.body) + "\n")
	}},
	{"console.log", false, false, func(d *sent) []byte {
		var headers []string
		for _, h := range d.all() {
			headers = append(headers, fmt.Sprintf("    '%s': '%s'", strings.ToLower(h[0]), h[1]))
		}
		return fmt.Appendf(nil, "{\n  headers: {\n%s\n  },\n  body: undefined,\n  rawBody: <Buffer % x>\n}\n", strings.Join(headers, ",\n"), append([]byte(nil), d.body...))
	}},
	{"ngrok", false, true, func(d *sent) []byte {
		return asJSON(map[string]any{"uri": "/api/requests/http/airt_1", "start": time.Now().Format(time.RFC3339),
			"request":  map[string]any{"method": "POST", "headers": d.headerLists(), "raw": base64.StdEncoding.EncodeToString(rawHTTP(d))},
			"response": map[string]any{"status": "401 Unauthorized", "headers": map[string][]string{"Webhook-Id": {"x"}}}})
	}},
	{"Cloud Logging", true, false, func(d *sent) []byte {
		return asJSON([]any{map[string]any{"insertId": "1", "timestamp": time.Now().Format(time.RFC3339Nano),
			"jsonPayload": map[string]any{"message": "in", "headers": d.headerMap(), "body": string(d.body)}}})
	}},
}

// A thing is a change to a genuine delivery, and the cause that must be reported.
type thing struct {
	name    string
	cause   explain.Cause
	schemes string // for which it makes a difference
	does    func(d *sent)
	form    func(f form) bool // that can have it; nil means any
}

func isRaw(f form) bool    { return f.raw }
func isFramed(f form) bool { return !f.raw }

func header(name, value string) func(d *sent) {
	return func(d *sent) { d.headers = append(d.headers, [2]string{name, value}) }
}

func body(change func([]byte) []byte) func(d *sent) {
	return func(d *sent) { d.body = change(d.body) }
}

func packed(how, encoding string) func(d *sent) {
	return func(d *sent) {
		d.body = compress(d.body, how)
		if encoding != "" {
			header("Content-Encoding", encoding)(d)
		}
	}
}

func stored(change func(d *sent) string) func(d *sent) {
	return func(d *sent) { d.to.Secrets = []string{change(d)} }
}

func written(change func(raw []byte) string) func(d *sent) {
	return func(d *sent) { d.signature = d.version() + "," + change(d.raw()) }
}

// clock signs an event of the current time with a wrong clock.
func clock(off time.Duration) func(d *sent) {
	return func(d *sent) {
		d.at = d.at.Add(off)
		d.sign()
	}
}

func reencoded(text []byte) []byte {
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		panic(err)
	}
	return asJSON(value) // sorted, with < > & escaped
}

func indented(text []byte) []byte {
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", "  "); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func spaced(text []byte) []byte {
	return []byte(strings.NewReplacer(`":"`, `": "`, `","`, `", "`, `":{`, `": {`).Replace(string(text)))
}

const (
	static = "v1 svix"
	signed = "v1 svix v1a"
	every  = "v1 svix v1a jwt"
)

// things are the changes. Each has its own cause.
var things = []thing{
	{"nothing", "", every, func(*sent) {}, nil},
	{"no body", explain.BodyMissing, every, func(d *sent) { d.body = nil }, nil},
	{"gzip", explain.BodyCompressed, every, packed("gzip", "gzip"), nil},
	{"gzip, not said", explain.BodyCompressed, every, packed("gzip", ""), nil},
	{"deflate", explain.BodyCompressed, every, packed("deflate", "deflate"), nil},
	{"deflate, not said", explain.BodyCompressed, every, packed("deflate", ""), nil},
	{"raw deflate", explain.BodyCompressed, every, packed("raw", "deflate"), nil},
	{"an encoding that is not known here", explain.BodyCompressed, every, func(d *sent) { d.body = []byte("\x0b\x02\x80abc"); header("Content-Encoding", "br")(d) }, nil},
	{"signed compressed, captured plain", explain.BodyCompressed, signed, func(d *sent) {
		plain := d.body
		packed("gzip", "gzip")(d)
		d.sign()
		d.body = plain
	}, nil},
	{"chunk framing left in", explain.BodyChunks, every, body(chunks), nil},
	{"chunk framing, first line lost", explain.BodyChunks, signed, body(func(b []byte) []byte { return append(b, "\r\n0\r\n\r\n"...) }), nil},
	{"chunk framing cut", explain.BodyChunks, every, func(d *sent) { header("Transfer-Encoding", "chunked")(d); d.body = chunks(d.body)[:60] }, isRaw},
	{"chunk framing cut before the first byte", explain.BodyChunks, every, func(d *sent) { header("Transfer-Encoding", "chunked")(d); d.body = chunks(d.body)[:4] }, isRaw},
	{"chunk framing left in, and cut", explain.BodyChunks, every, body(func(b []byte) []byte { return chunks(b)[:60] }), isFramed},
	{"written again by Go", explain.Rewritten, signed, body(reencoded), nil},
	{"indented", explain.Rewritten, signed, body(indented), nil},
	{"written again by Python", explain.Rewritten, signed, body(spaced), nil},
	{"a newline added", explain.Rewritten, signed, body(func(b []byte) []byte { return append(b, '\n') }), nil},
	{"over the limit", explain.BodyTooLarge, signed, func(d *sent) {
		d.body = append(d.body, bytes.Repeat([]byte(" "), receiver.MaxBody)...)
		d.sign()
	}, func(f form) bool { return f.name == "raw HTTP" || f.name == "text" }},
	{"announced over the limit", explain.BodyTooLarge, every, header("Content-Length", "1048577"), nil},
	{"cut", explain.Incomplete, signed, body(func(b []byte) []byte { return b[:50] }), nil},
	{"cut, by its length", explain.Incomplete, every, func(d *sent) { header("Content-Length", fmt.Sprint(len(d.body)))(d); d.body = d.body[:50] }, nil},

	{"hex", explain.SignatureEncoding, signed, written(func(raw []byte) string { return fmt.Sprintf("%x", raw) }), nil},
	{"HEX", explain.SignatureEncoding, signed, written(func(raw []byte) string { return fmt.Sprintf("%X", raw) }), nil},
	{"base64url", explain.SignatureEncoding, signed, written(base64.URLEncoding.EncodeToString), nil},
	{"base64url, unpadded", explain.SignatureEncoding, signed, written(base64.RawURLEncoding.EncodeToString), nil},
	{"unpadded", explain.SignatureEncoding, signed, written(base64.RawStdEncoding.EncodeToString), nil},
	{"no version", explain.SignatureForm, signed, func(d *sent) { _, d.signature, _ = strings.Cut(d.signature, ",") }, nil},

	{"v1a at the static endpoint", explain.V1aAtStatic, "v1a", func(d *sent) { d.to = d.by.receiver("v1") }, nil},
	{"a token at the static endpoint", explain.JWTAtStatic, "jwt", func(d *sent) { d.to = d.by.receiver("v1") }, nil},
	{"v1 at the dynamic endpoint", explain.V1AtDynamic, static, func(d *sent) { d.to = d.by.receiver("v1a") }, nil},
	{"GitHub's", explain.OtherScheme, every, func(d *sent) {
		header("X-Hub-Signature-256", fmt.Sprintf("sha256=%x", d.by.hmac(string(d.body))))(d)
		header("X-Webhook-Id", "1")(d)
		d.signature = ""
	}, nil},
	{"GitHub's in our header", explain.OtherScheme, every, func(d *sent) { d.signature = fmt.Sprintf("sha256=%x", d.by.hmac(string(d.body))) }, nil},
	{"Stripe's in our header", explain.OtherScheme, every, func(d *sent) {
		d.signature = fmt.Sprintf("t=%s,v1=%x", d.timestamp(), d.by.hmac(d.timestamp()+"."+string(d.body)))
	}, nil},
	{"of the body alone", explain.OtherScheme, static, func(d *sent) { d.signature = "v1," + base64.StdEncoding.EncodeToString(d.by.hmac(string(d.body))) }, nil},
	{"without the id", explain.OtherScheme, static, func(d *sent) {
		d.signature = "v1," + base64.StdEncoding.EncodeToString(d.by.hmac(d.timestamp()+"."+string(d.body)))
	}, nil},

	{"a byte order mark", explain.SecretMark, static, stored(func(d *sent) string { return "\ufeff" + d.by.secret() }), nil},
	{"a byte order mark after the prefix", explain.SecretMark, static, stored(func(d *sent) string { return strings.Replace(d.by.secret(), "_", "_\ufeff", 1) }), nil},
	{"UTF-16", explain.SecretMark, static, stored(func(d *sent) string { return string(asUTF16([]byte(d.by.secret() + "\r\n"))) }), nil},
	{"dotenv", explain.SecretLine, static, stored(func(d *sent) string { return "GEMINIHOOK_SECRET=" + d.by.secret() + "\n" }), nil},
	{"dotenv, quoted", explain.SecretLine, static, stored(func(d *sent) string { return `export SECRET="` + d.by.secret() + `"` }), nil},
	{"dotenv, of several lines", explain.SecretLine, static, stored(func(d *sent) string { return "PORT=80\nSECRET='" + d.by.secret() + "'\nDEBUG=1\n" }), nil},
	{"decoded", explain.SecretDecoded, static, stored(func(d *sent) string { return string(d.by.key) }), nil},
	{"decoded, as text", explain.SecretDecoded, static, stored(func(d *sent) string {
		text := make([]rune, len(d.by.key))
		for i, c := range d.by.key {
			text[i] = rune(c)
		}
		return string(text)
	}), nil},
	{"decoded, in hex", explain.SecretDecoded, static, stored(func(d *sent) string { return fmt.Sprintf("%x", d.by.key) }), nil},
	{"encoded twice", explain.SecretTwice, static, stored(func(d *sent) string { return base64.StdEncoding.EncodeToString([]byte(d.by.secret())) }), nil},
	{"encoded twice behind the prefix", explain.SecretTwice, static, stored(func(d *sent) string {
		return "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.TrimPrefix(d.by.secret(), "whsec_")))
	}), nil},
	{"quoted", explain.SecretForm, static, stored(func(d *sent) string { return `"` + d.by.secret() + `"` }), nil},
	{"another secret", explain.WrongSecret, static, stored(func(d *sent) string { return "whsec_" + base64.StdEncoding.EncodeToString(d.by.hmac("another")) }), nil},
	{"another key", explain.KeyNotInSet, "v1a", func(d *sent) { d.to.Keys = d.to.Keys[1:] }, nil},

	{"a no-break space before the id", explain.HeaderSpace, every, func(d *sent) { d.id = "\u00a0" + d.id }, nil},
	{"an ideographic space after the id", explain.HeaderSpace, every, func(d *sent) { d.id += "\u3000" }, nil},
	{"a zero-width space after the id", explain.HeaderSpace, every, func(d *sent) { d.id += "\u200b" }, nil},
	{"an id signed with a no-break space", explain.HeaderSpace, signed, func(d *sent) { d.id += "\u00a0"; d.sign() }, nil},
	{"a no-break space after the signature", explain.HeaderSpace, every, func(d *sent) { d.signature += "\u00a0" }, nil},

	{"clock ahead", explain.SenderClock, every, clock(20 * time.Minute), nil},
	{"clock behind", explain.SenderClock, every, clock(-2 * time.Hour), nil},
	{"long ago", explain.Stale, signed, func(d *sent) { d.at = d.at.Add(-time.Hour); d.body = event(d.at); d.sign() }, nil},
	{"a token issued long ago", explain.TokenOld, "jwt", func(d *sent) {
		d.claims = map[string]any{"iat": d.at.Add(-40 * time.Minute).Unix(), "exp": d.at.Add(20 * time.Minute).Unix()}
		d.sign()
	}, nil},
	{"an expired token", explain.Expired, "jwt", func(d *sent) { d.claims = map[string]any{"exp": d.at.Add(-time.Hour).Unix()}; d.sign() }, nil},
}

// After any single change to a genuine delivery, in any format of the capture, the
// first cause is that change. The formats are chosen at random; a failure prints the
// seed.
func TestASingleThingIsNamedFirst(t *testing.T) {
	by, seed := newSender(t), uint64(time.Now().UnixNano())
	lot := rand.New(rand.NewPCG(seed, 0))
	for _, thing := range things {
		for scheme := range strings.FieldsSeq(thing.schemes) {
			d := by.deliver(scheme)
			thing.does(d)
			can := slices.DeleteFunc(slices.Clone(forms), func(f form) bool {
				return f.text && !utf8.Valid(d.body) || thing.form != nil && !thing.form(f) ||
					f.name == "console.log" && len(d.body) == 0
			})
			for _, i := range lot.Perm(len(can))[:min(3, len(can))] {
				r := d.explain(t, can[i].write(d))
				if r.Cause != thing.cause || r.Genuine && thing.cause != "" && thing.cause != explain.SecretMark {
					t.Errorf("%s, %s, %s (seed %d): %v, want %q first\n%s", thing.name, scheme, can[i].name, seed, r.Causes, thing.cause, r.Verdict)
				}
			}
		}
	}
}

// explain explains a capture. It fails the test if the output discloses a secret or is
// inconsistent.
func (d *sent) explain(t *testing.T, text []byte) *explain.Report {
	t.Helper()
	c, err := explain.Read(bytes.NewReader(text))
	if err != nil {
		t.Errorf("%v in\n%.600s", err, text)
		return new(explain.Report)
	}
	r := d.to.Explain(c)
	var out bytes.Buffer
	r.Write(&out, false)
	out.Write(asJSON(r))
	for _, private := range append([]string{d.by.secret()[6:30], fmt.Sprintf("%x", d.by.key), string(d.by.key), "the-url-token-of-the-test"}, signatureParts(d)...) {
		if strings.Contains(out.String(), private) {
			t.Errorf("the output discloses %q:\n%s", private, &out)
		}
	}
	verdict := "Genuine: the function accepts it"
	if !r.Genuine {
		verdict = fmt.Sprintf("Rejected with %d at step %s: ", r.Status, r.Step)
	}
	if !strings.HasPrefix(r.Verdict, verdict) || strings.HasSuffix(r.Verdict, "if the URL token is correct.") != (r.Genuine && d.to.Keys != nil) {
		t.Errorf("the verdict is %q", r.Verdict)
	}
	if len(r.Causes) != len(r.Why) || len(r.Causes) != len(r.Do) || r.Genuine != (r.Status == 204) || r.Genuine != (r.Step == "") || !r.Genuine && r.Cause == "" {
		t.Errorf("the report is inconsistent: %+v", r)
	}
	return r
}

// signatureParts returns parts of the signature, which no output may contain.
func signatureParts(d *sent) (parts []string) {
	for part := range strings.FieldsFuncSeq(d.signature, func(r rune) bool { return strings.ContainsRune(" ,.=", r) }) {
		if len(part) >= 20 {
			parts = append(parts, part[len(part)-20:])
		}
	}
	return parts
}
