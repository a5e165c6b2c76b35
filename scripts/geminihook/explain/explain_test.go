package explain

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

const (
	id       = "msg_0d3f"
	audience = "https://receiver.example/DynamicWebhook"
	kid      = "rsa-1"

	// event contains everything that encoders of JSON write differently: unsorted keys,
	// markup, a slash, non-ASCII characters, and an empty list.
	event = `{"type":"batch.succeeded","version":"v1","timestamp":"2026-09-25T10:00:00Z","data":{"output_file_uri":"a/b<c>&d","id":"batches/é😀","list":[],"n":1.5}}`
)

// A world holds the keys of one sender.
type world struct {
	secret  string
	ed25519 ed25519.PrivateKey
	token   ed25519.PrivateKey // the set's key of the kid
}

func newWorld() *world {
	_, first, _ := ed25519.GenerateKey(rand.Reader)
	_, second, _ := ed25519.GenerateKey(rand.Reader)
	return &world{webhooktest.NewSecret(), first, second}
}

func (w *world) static() Receiver { return Receiver{Secrets: []string{w.secret}} }

func (w *world) dynamic() Receiver {
	return Receiver{Audiences: []string{audience}, Keys: []webhook.PublicKey{
		{Key: w.ed25519.Public().(ed25519.PublicKey)}, {ID: kid, Key: w.token.Public().(ed25519.PublicKey)},
	}}
}

// A delivery is a signed request, which a test may change.
type delivery struct {
	*world
	id, timestamp, body string
	header              []string // lines
	to                  Receiver
}

func (w *world) delivery(to Receiver, sign func(d *delivery) string) *delivery {
	d := &delivery{world: w, id: id, timestamp: webhooktest.Timestamp(time.Now()), body: event, to: to}
	d.resign(sign)
	return d
}

func (d *delivery) resign(sign func(d *delivery) string) {
	d.header = []string{"webhook-id: " + d.id, "webhook-timestamp: " + d.timestamp, "webhook-signature: " + sign(d)}
}

func v1(d *delivery) string { return v1With(d.secret)(d) }

// mustParse parses a secret that the functions accept.
func mustParse(text string) webhook.SigningKey {
	key, err := webhook.ParseSigningKey([]byte(text))
	if err != nil {
		panic(err)
	}
	return key
}

func v1With(secret string) func(*delivery) string {
	return func(d *delivery) string {
		return webhook.SignV1(mustParse(secret), d.id, d.timestamp, []byte(d.body))
	}
}

// v1Raw signs with a text as the key, without decoding it.
func v1Raw(text string) func(*delivery) string {
	return v1With("whsec_" + base64.StdEncoding.EncodeToString([]byte(text)))
}

func v1a(d *delivery) string {
	return webhook.SignV1a(d.ed25519, d.id, d.timestamp, []byte(d.body))
}

// jwt signs a JWT with changed claims.
func jwt(change func(claims map[string]any)) func(*delivery) string {
	return func(d *delivery) string {
		claims := webhooktest.Claims(audience+"?token=private-token", time.Now(), []byte(event))
		change(claims)
		text, err := webhook.SignJWT(d.token, kid, claims)
		if err != nil {
			panic(err)
		}
		return text
	}
}

func unchanged(map[string]any) {}

// raw returns the delivery as raw HTTP.
func (d *delivery) raw() string {
	return "POST /Webhook?token=private-token HTTP/1.1\r\nHost: receiver.example\r\n" + strings.Join(d.header, "\r\n") + "\r\n\r\n" + d.body
}

// explain explains the delivery, and fails the test if the output contains a secret.
func (d *delivery) explain(t *testing.T) (*Report, string) {
	t.Helper()
	c, err := Read(strings.NewReader(d.raw()))
	if err != nil {
		t.Fatal(err)
	}
	r := d.to.Explain(c)
	var text bytes.Buffer
	r.Write(&text, false)
	if err := json.NewEncoder(&text).Encode(r); err != nil {
		t.Fatal(err)
	}
	_, signature, _ := strings.Cut(d.header[len(d.header)-1], ",")
	for _, secret := range []string{strings.Trim(d.secret, "whsec_="), "private-token", signature} {
		if len(secret) > 8 && strings.Contains(text.String(), secret) {
			t.Errorf("the output contains the secret %q:\n%s", secret, &text)
		}
	}
	return r, text.String()
}

// replaced changes a header line's name or value.
func replaced(old, new string) func(*delivery) {
	return func(d *delivery) {
		for i := range d.header {
			d.header[i] = strings.Replace(d.header[i], old, new, 1)
		}
	}
}

// at signs with a timestamp that is from away from the current time.
func at(from time.Duration, sign func(*delivery) string) func(*delivery) {
	return stamped(webhooktest.Timestamp(time.Now().Add(from)), sign)
}

func stamped(timestamp string, sign func(*delivery) string) func(*delivery) {
	return func(d *delivery) {
		d.timestamp = timestamp
		d.resign(sign)
	}
}

func signed(sign func(*delivery) string) func(*delivery) {
	return func(d *delivery) { d.resign(sign) }
}

func claims(change func(map[string]any)) func(*delivery) { return signed(jwt(change)) }

// keep changes the secret that the receiver has stored.
func keep(store func(secret string) string) func(*delivery) {
	return func(d *delivery) { d.to.Secrets = []string{store(d.secret)} }
}

func milliseconds() string { return strconv.FormatInt(time.Now().UnixMilli(), 10) }

// Each case makes one change to a genuine delivery.
func TestCauses(t *testing.T) {
	w := newWorld()
	static := func() *delivery { return w.delivery(w.static(), v1) }
	dynamic := func() *delivery { return w.delivery(w.dynamic(), v1a) }
	token := func() *delivery { return w.delivery(w.dynamic(), jwt(unchanged)) }
	text := strings.TrimPrefix(w.secret, "whsec_")
	for name, test := range map[string]struct {
		genuine func() *delivery
		mutate  func(*delivery)
		cause   Cause
		says    string
	}{
		"static":      {static, func(*delivery) {}, "", "Genuine"},
		"dynamic":     {dynamic, func(*delivery) {}, "", "v1a by key 1 of 2"},
		"token":       {token, func(*delivery) {}, "", "signed by key 2 of 2"},
		"two entries": {static, signed(func(d *delivery) string { return v1With(webhooktest.NewSecret())(d) + " " + v1(d) }), "", "entry 2 of 2"},
		"two lines": {static, func(d *delivery) {
			d.header = append(d.header, "webhook-signature: "+v1With(webhooktest.NewSecret())(d))
		}, "", "entry 1 of 2"},
		"lines joined":         {static, signed(func(d *delivery) string { return v1(d) + ", " + v1With(webhooktest.NewSecret())(d) }), "", "entry 1 of 2"},
		"space about a secret": {static, keep(func(s string) string { return " " + s + "\n" }), "", "Genuine"},
		"a secret unpadded":    {static, keep(func(s string) string { return strings.TrimRight(s, "=") }), "", "Genuine"},

		"wrong secret":      {static, signed(v1With(webhooktest.NewSecret())), WrongSecret, "no signature is by this secret"},
		"entries of others": {static, signed(func(d *delivery) string { other := v1With(webhooktest.NewSecret()); return other(d) + " " + other(d) }), WrongSecret, "another webhook's"},
		"another body":      {static, func(d *delivery) { d.body = strings.Replace(d.body, "v1", "v2", 1) }, WrongSecret, "body was changed"},
		"raw":               {static, signed(v1Raw(text)), SecretRaw, "as the key, without decoding it"},
		"raw, as Node reads it": {static, signed(func(d *delivery) string {
			read := "whsec/" + strings.TrimRight(text, "=")
			return v1With("whsec_" + read[:len(read)-len(read)%4])(d)
		}), SecretRaw, "decoded as base64"},
		"raw with prefix":          {static, signed(v1Raw(w.secret)), SecretRaw, "including whsec_"},
		"quotes":                   {static, keep(func(s string) string { return `"` + s + `"` }), SecretForm, "quotes"},
		"white space in it":        {static, keep(func(s string) string { return s[:20] + " " + s[20:] }), SecretForm, "white space"},
		"an extra prefix":          {static, keep(func(s string) string { return "v1," + s }), SecretForm, "as signatures do"},
		"prefix twice":             {static, keep(func(s string) string { return "whsec_" + s }), SecretForm, "twice"},
		"the shortened secret":     {static, keep(func(s string) string { return "whsec_..." + s[len(s)-4:] }), SecretForm, "shortened form"},
		"milliseconds":             {static, stamped(milliseconds(), v1), Milliseconds, "in milliseconds"},
		"milliseconds in transit":  {static, func(d *delivery) { replaced(d.timestamp, d.timestamp+"123")(d) }, Milliseconds, "with the timestamp in seconds"},
		"milliseconds, dynamic":    {dynamic, stamped(milliseconds(), v1a), Milliseconds, "with the timestamp in milliseconds"},
		"a date":                   {static, stamped(time.Now().Format(time.RFC3339), v1), HeaderMalformed, "not in Unix seconds"},
		"stale":                    {static, at(-time.Hour, v1), Stale, "nothing if the request arrived within 5 minutes"},
		"ahead":                    {static, at(time.Hour, v1), SenderClock, "59m5"},
		"stale, dynamic":           {dynamic, at(-time.Hour, v1a), Stale, "1h0m"},
		"stale and wrong":          {static, at(-time.Hour, v1With(webhooktest.NewSecret())), WrongSecret, "1h0m"},
		"v1 at dynamic":            {dynamic, signed(v1), V1AtDynamic, "static function's URL"},
		"v1a at static":            {static, signed(v1a), V1aAtStatic, "webhook_config"},
		"a token at static":        {static, signed(jwt(unchanged)), JWTAtStatic, "dynamic function's URL"},
		"no version":               {static, replaced("v1,", ""), SignatureForm, "no entry of the form"},
		"key not in set":           {dynamic, func(d *delivery) { d.to.Keys = d.to.Keys[1:] }, KeyNotInSet, "none of the 1 keys"},
		"a token's key not in set": {token, func(d *delivery) { d.to.Keys = d.to.Keys[:1] }, KeyNotInSet, "no key has its kid"},
		"another key of its kid":   {token, func(d *delivery) { d.to.Keys = newWorld().dynamic().Keys }, KeyNotInSet, "the set has a key with its kid"},
		"another audience":         {token, claims(func(c map[string]any) { c["aud"] = []string{"https://a.example?token=private-token"} }), Audience, "https://a.example"},
		"no audience configured":   {token, func(d *delivery) { d.to.Audiences = nil }, Audience, "no audience is configured"},
		"expired":                  {token, claims(func(c map[string]any) { c["exp"] = time.Now().Add(-time.Hour).Unix() }), Expired, "expired 1h0m"},
		"no exp":                   {token, claims(func(c map[string]any) { delete(c, "exp") }), Token, "no exp"},
		"exp too far":              {token, claims(func(c map[string]any) { c["exp"] = time.Now().Add(24 * time.Hour).Unix() }), Token, "more than 1h5m0s ahead"},
		"another event":            {token, func(d *delivery) { d.body = string(webhooktest.NewEvent("batch.failed")) }, Event, "event is not the body's"},
		"iat an hour ago":          {token, claims(func(c map[string]any) { c["iat"] = time.Now().Add(-time.Hour).Unix() }), TokenOld, "issued 1h0m"},
		"not RS256":                {token, signed(func(*delivery) string { return "eyJhbGciOiJIUzI1NiJ9.e30.c2ln" }), Token, "HS256"},
		"no webhook-id":            {static, func(d *delivery) { d.header = d.header[1:] }, HeaderMissing, "no webhook-id"},
		"no timestamp":             {static, func(d *delivery) { d.header = slices.Delete(d.header, 1, 2) }, HeaderMissing, "no webhook-timestamp"},
		"no signature":             {static, func(d *delivery) { d.header = d.header[:2] }, HeaderMissing, "no webhook-signature"},
		"svix-id":                  {static, replaced("webhook-id", "svix-id"), HeaderRenamed, "is named svix-id"},
		"x-webhook-timestamp":      {static, replaced("webhook-timestamp", "X-Webhook-Timestamp"), HeaderRenamed, "is named x-webhook-timestamp"},
		"a CGI's name":             {static, replaced("webhook-signature", "HTTP_WEBHOOK_SIGNATURE"), HeaderRenamed, "http_webhook_signature"},
		"webhook-id twice":         {static, func(d *delivery) { d.header = append([]string{d.header[0]}, d.header...) }, HeaderDuplicated, "all with the same value"},
		"another webhook-id, too":  {static, func(d *delivery) { d.header = append([]string{d.header[0], "webhook-id: x"}, d.header[1:]...) }, HeaderDuplicated, "different values"},
		"a dot in webhook-id":      {static, func(d *delivery) { d.id = "msg.1"; d.resign(v1) }, HeaderMalformed, "a dot"},
		"cut": {static, func(d *delivery) {
			d.header = append([]string{"Content-Length: " + strconv.Itoa(len(d.body))}, d.header...)
			d.body = d.body[:50]
		}, Incomplete, "50 bytes, but"},
		"signature 17 of 17": {static, signed(func(d *delivery) string { return strings.Repeat("v1,x ", 16) + v1(d) }), Refused, "too many signatures"},
	} {
		t.Run(name, func(t *testing.T) {
			d := test.genuine()
			test.mutate(d)
			r, text := d.explain(t)
			if test.cause == "" != r.Genuine || !r.Genuine && r.Causes[0] != test.cause || !strings.Contains(text, test.says) {
				t.Errorf("genuine %v, causes %v; want %q and %q in:\n%s", r.Genuine, r.Causes, test.cause, test.says, text)
			}
		})
	}
}

// Changes to a body by a receiver, a proxy or a person, and their description in the
// report.
func TestRewritten(t *testing.T) {
	indented := func(text string) string {
		var b bytes.Buffer
		_ = json.Indent(&b, []byte(text), "", "  ")
		return b.String()
	}
	ascii := func(text string) string {
		return strings.NewReplacer("é", `\u00e9`, "😀", `\ud83d\ude00`).Replace(text)
	}
	escaped := strings.NewReplacer("<", `\u003c`, ">", `\u003e`, "&", `\u0026`).Replace(event)
	python := `{"type": "batch.succeeded", "version": "v1", "timestamp": "2026-09-25T10:00:00Z", "data": {"output_file_uri": "a/b<c>&d", "id": "batches/é😀", "list": [], "n": 1.5}}`
	sorted := `{"data":{"id":"batches/é😀","list":[],"n":1.5,"output_file_uri":"a/b<c>&d"},"timestamp":"2026-09-25T10:00:00Z","type":"batch.succeeded","version":"v1"}`
	flat := `{"type":"x","version":"v1","timestamp":"t","data":{"id":"1"}}`
	for name, test := range map[string]struct{ signed, captured, how string }{
		"indented in transit":   {event, indented(event), "compact, as by JavaScript's JSON.stringify"},
		"indented by 4":         {strings.ReplaceAll(indented(event), "  ", "    "), event, "indented by 4 spaces"},
		"indented by 2":         {indented(event), event, "indented by 2 spaces"},
		"indented with CRLF":    {strings.ReplaceAll(indented(event), "\n", "\r\n"), event, `indented by 2 spaces, with \r\n line ends`},
		"compacted by hand":     {python, event, `with ", " and ": "`},
		"Python":                {ascii(python), event, `with ", " and ": ", as by Python's json.dumps, with non-ASCII characters escaped`},
		"Python compact":        {ascii(event), event, "with non-ASCII characters escaped, as by Python's"},
		"PHP":                   {strings.ReplaceAll(ascii(event), "/", `\/`), event, "as by PHP's"},
		"Go":                    {escaped, event, "with <, > and & escaped"},
		"Go's escapes removed":  {event, escaped, "compact"},
		"sorted before":         {sorted, event, "with sorted keys"},
		"sorted in transit":     {flat, `{"data":{"id":"1"},"timestamp":"t","type":"x","version":"v1"}`, "with keys in the documentation's order"},
		"newline added":         {event, event + "\n", "without the newline at its end"},
		"newline removed":       {event + "\n", event, "with a newline at its end"},
		"Encoder's":             {escaped + "\n", event, "escaped, as by Go's encoding/json, with a newline at its end"},
		"CRLF in transit":       {indented(event), strings.ReplaceAll(indented(event), "\n", "\r\n"), `with \n instead of \r\n`},
		"LF in transit":         {strings.ReplaceAll(indented(event), "\n", "\r\n"), indented(event), `with \r\n instead of \n`},
		"in a JSON string":      {event, string(must(json.Marshal(event))), "decoded from a JSON string"},
		"in base64":             {event, base64.StdEncoding.EncodeToString([]byte(event)), "decoded from base64"},
		"a byte order mark":     {event, "\ufeff" + event, "without the byte order mark"},
		"no JSON, newline":      {"text", "text\n", "without the newline"},
		"controls and brackets": {`{"a":"\b\f\n\r\t\"\\\u0001","b":[1,{}],"c":null,"d":1.50}`, ` {"a":"\u0008\f\n\r\t\u0022\\\u0001", "b":[1,{}],"c":null,"d":1.50}`, "compact"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			for _, d := range []*delivery{{world: w, to: w.static()}, {world: w, to: w.dynamic()}} {
				sign := v1
				if d.to.Keys != nil {
					sign = v1a
				}
				d.id, d.timestamp, d.body = id, webhooktest.Timestamp(time.Now()), test.signed
				d.resign(sign)
				d.body = test.captured
				r, text := d.explain(t)
				if r.Genuine || !slices.Equal(r.Causes, []Cause{Rewritten}) || !strings.Contains(text, test.how) {
					t.Errorf("causes %v; want %q in:\n%s", r.Causes, test.how, text)
				}
			}
		})
	}
}

func must(text []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return text
}

// A body that is too long or too deep for rewritings is explained without them,
// quickly.
func TestBounds(t *testing.T) {
	w := newWorld()
	for body, want := range map[string]Cause{
		strings.Repeat("[", 100_000):                              WrongSecret,
		strings.Repeat("[", 1000) + strings.Repeat("]", 1000):     WrongSecret,
		"[" + strings.Repeat("1,", 300<<10) + "1]":                WrongSecret,
		"[" + strings.Repeat("1,", 2<<20) + "1]":                  BodyTooLarge,
		strings.Repeat("\x1f\x8b", 100_000):                       BodyCompressed,
		"7fffff\r\n" + strings.Repeat("x", 100_000):               WrongSecret,
		`{"a":"` + strings.Repeat("b", maxRewritten) + `","c":1}`: WrongSecret,
	} {
		d := w.delivery(w.static(), v1)
		d.body = body
		if r, _ := d.explain(t); !slices.Equal(r.Causes, []Cause{want}) {
			t.Errorf("%.20q: causes %v, want %s", body, r.Causes, want)
		}
	}
}

// Explain finds two faults in one request.
func TestSeveral(t *testing.T) {
	w := newWorld()
	d := w.delivery(w.static(), v1Raw(w.secret))
	replaced("webhook-id", "svix-id")(d)
	d.body += "\n"
	r, text := d.explain(t)
	if !slices.Equal(r.Causes, []Cause{HeaderRenamed, SecretRaw, Rewritten}) {
		t.Errorf("causes %v:\n%s", r.Causes, text)
	}
}

// Read returns the same delivery from each form of a capture.
func TestRead(t *testing.T) {
	w := newWorld()
	d := w.delivery(w.static(), v1)
	raw := d.raw()
	_, headersOn, _ := strings.Cut(raw, "\r\n")
	chunked := strings.Replace(raw, "\r\n\r\n"+event, fmt.Sprintf("\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(event), event), 1)
	sized := strings.Replace(raw, "Host:", fmt.Sprintf("Content-Length: %d\r\nHost:", len(event)), 1)
	headers := map[string]any{"Content-Type": "application/json"}
	for _, line := range d.header {
		name, value, _ := strings.Cut(line, ": ")
		headers[name] = []string{value}
	}
	for name, text := range map[string]string{
		"raw":                  raw,
		"LF":                   strings.ReplaceAll(raw, "\r\n", "\n"),
		"no request line":      headersOn,
		"a line before":        "\n" + raw,
		"chunked":              chunked,
		"a length and newline": sized + "\n",
		"JSON":                 string(must(json.Marshal(map[string]any{"headers": headers, "body": event}))),
		"JSON with base64":     string(must(json.Marshal(map[string]any{"headers": headers, "body": []byte(event), "isBase64Encoded": true}))),
	} {
		c, err := Read(strings.NewReader(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if r := w.static().Explain(c); !r.Genuine {
			t.Errorf("%s: %v", name, r)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "no headers",
		"\r\n\r\n":                        "no headers",
		"POST / HTTP/1.1\r\n\r\n":         "no headers",
		"webhook-id: x\nrubbish\n\nbody":  "line 2",
		`{"type":"batch.succeeded"}`:      "an object with type: it contains neither headers",
		`{`:                               "line 1, column 2: expected a member's name",
		strings.Repeat("x", maxCapture+1): "longer than 8 MiB",

		"POST / HTTP/1.1\nhost: a\nwebhook-id: x\nrubbish\n\nbody":   "read as raw HTTP, with a request line and with 2 headers: line 4",
		"{\"method\":\"POST\",\n \"headers\":{\"a\":\"b\" \"c\":1}}": "an object with method, headers: line 2, column 21: expected a comma or",
		"{'headers': {'webhook-id': 'x'}, 'body': b'{\"a":            "an object with headers, body: line 1, column 47: the dump ends in the middle of a string",
		"SECRET=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw":              "",
		"{\"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\":1}":             "unnamed values",
		`{"headers":{}}`:          "the headers in the dump are empty",
		strings.Repeat("[", 1000): "more than 200 levels",
		`{"a":"\u12"}`:            "4 hexadecimal digits",
		`{"a":1,`:                 "expected a member's name",
		`{"a" 1}`:                 "expected a colon",
	} {
		if _, err := Read(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "whsec_") {
			t.Errorf("%.20q: %v, want %q and no secret", text, err, want)
		}
	}
}

func TestOtherMethod(t *testing.T) {
	w := newWorld()
	c, err := Read(strings.NewReader(strings.Replace(w.delivery(w.static(), v1).raw(), "POST", "GET", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if r := w.static().Explain(c); r.Genuine || r.Causes[0] != Method {
		t.Errorf("%v", r)
	}
}

// For any capture, the report is genuine if the functions' verifier accepts the
// request, and else has a cause. Nothing panics.
func FuzzExplain(f *testing.F) {
	w := newWorld()
	for _, d := range []*delivery{w.delivery(w.static(), v1), w.delivery(w.dynamic(), v1a), w.delivery(w.dynamic(), jwt(unchanged))} {
		f.Add(d.raw())
	}
	f.Add(`{"headers":{"webhook-id":["a"],"webhook-timestamp":1,"webhook-signature":"v1,a"},"body":{"type":"Buffer","data":[1,2]}}`)
	f.Add("IncomingMessage {\n  rawHeaders: [ 'webhook-id', 'a' ],\n  body: <Buffer 7b ... 9 more bytes>,\n  [Symbol(a)]: [Function (anonymous)]\n}")
	f.Add("EnvironHeaders([('Webhook-Id', 'a')])\nb'\\x1f\\x8b'")
	f.Add("* x\n> POST / HTTP/1.1\n> webhook-id: a\n>\n< HTTP/1.1 401\n")
	f.Add("map[Webhook-Id:[a] B:[c d]]\nx")
	f.Add("POST / HTTP/1.1\nTransfer-Encoding: chunked\nwebhook-id: a\n\n3\nabc")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Read(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, to := range []Receiver{w.static(), w.dynamic()} {
			r := to.Explain(c)
			want := (&examination{to: to}).verify(c.Header, c.Body, 0).Err
			posted := c.Method == "" || c.Method == http.MethodPost
			if r.Genuine != (want == nil && posted) || !r.Genuine && len(r.Causes) == 0 || r.Verdict == "" {
				t.Errorf("%v, but the verifier says %v", r, want)
			}
		}
	})
}
