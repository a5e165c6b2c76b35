package explain_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook/scripts/geminihook/explain"
)

// fill inserts a delivery into a program's output. The placeholders are:
//
//	{id} {ts} {sig}   the three headers
//	{now}             the current time, in RFC 3339
//	{body}            the body's bytes
//	{json}            the body as a JSON string
//	{py} {pyobj}      the body as Python's bytes, and parsed, as Python prints a dict
//	{js}              the body parsed, as console.log prints an object
//	{b64} {ints} {hex}  the body's bytes
//	{len} {xlen}      the body's length, in decimal and in hex
//	{raw64} {rawints}   the whole request in base64, and as Go prints bytes
func (d *sent) fill(capture string) string {
	text := string(d.body)
	python := strings.ReplaceAll(string(spaced(d.body)), `"`, "'")
	ints := strings.Trim(strings.ReplaceAll(fmt.Sprint(d.body), " ", ","), "[]")
	quoted, _ := json.Marshal(text)
	javascript := strings.NewReplacer(`"type"`, "type", `"version"`, "version", `"timestamp"`, "timestamp", `"data"`, "data", `"id"`, "id",
		`"output_file_uri"`, "output_file_uri").Replace(text)
	return strings.NewReplacer("{id}", d.id, "{ts}", d.timestamp(), "{sig}", d.signature, "{now}", d.at.UTC().Format(time.RFC3339Nano),
		"{body}", text, "{json}", string(quoted), "{py}", asPython(d.body), "{pyobj}", python, "{js}", strings.ReplaceAll(javascript, `"`, "'"),
		"{b64}", base64.StdEncoding.EncodeToString(d.body), "{ints}", ints, "{hex}", fmt.Sprintf("% x", d.body), "{len}", fmt.Sprint(len(text)), "{xlen}", fmt.Sprintf("%x", len(text)),
		"{rawints}", strings.Trim(fmt.Sprint(rawHTTP(d)), "[]"), "{raw64}", base64.StdEncoding.EncodeToString(rawHTTP(d))).Replace(capture)
}

const (
	rawHeaders = "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Type: application/json\r\nwebhook-id: {id}\r\nwebhook-timestamp: {ts}\r\nwebhook-signature: {sig}\r\n"
	jsHeaders  = "{\n  host: 'a.example',\n  'content-type': 'application/json',\n  'webhook-id': '{id}',\n  'webhook-timestamp': '{ts}',\n  'webhook-signature': '{sig}'\n}"
	pyHeaders  = "{'Host': 'a.example', 'Content-Type': 'application/json', 'Webhook-Id': '{id}', 'Webhook-Timestamp': '{ts}', 'Webhook-Signature': '{sig}'}"
	jsonMap    = `{"host":"a.example","content-type":"application/json","webhook-id":"{id}","webhook-timestamp":"{ts}","webhook-signature":"{sig}"}`
	jsonLists  = `{"host":["a.example"],"webhook-id":["{id}"],"webhook-timestamp":["{ts}"],"webhook-signature":["{sig}"]}`
	curl       = "*   Trying 127.0.0.1:8080...\n* Connected to localhost (127.0.0.1) port 8080\n> POST /Webhook HTTP/1.1\n> Host: localhost:8080\n" +
		"> User-Agent: curl/8.5.0\n> Accept: */*\n> webhook-id: {id}\n> webhook-timestamp: {ts}\n> webhook-signature: {sig}\n> Content-Length: {len}\n> \n"
	curlAnswer  = "* upload completely sent off: {len} bytes\n< HTTP/1.1 401 Unauthorized\n< Content-Length: 13\n<\n{\"error\":\"x\"}\n"
	webhookSite = `{"data":[{"uuid":"3c6e","type":"web","token_id":"9b1d","ip":"203.0.113.9","hostname":"webhook.site","method":"POST","user_agent":"Google",` +
		`"content":{json},"query":{"token":"the-url-token-of-the-test"},"headers":` + jsonLists + `,"url":"https:\/\/webhook.site\/9b1d","size":{len},"files":[],` +
		`"created_at":"2026-09-25 10:00:00","updated_at":"2026-09-25 10:00:00","sorting":1,"custom_action_output":[]}],"total":1,"per_page":50,"current_page":1}`
	ngrok = `{"uri":"/api/requests/http/airt_1","id":"airt_1","tunnel_name":"command_line","remote_addr":"203.0.113.9","start":"{now}","duration":1204,` +
		`"request":{"method":"POST","proto":"HTTP/1.1","headers":` + jsonLists + `,"uri":"/Webhook?token=x","raw":"{raw64}"},` +
		`"response":{"status":"401 Unauthorized","status_code":401,"proto":"HTTP/1.1","headers":{"Content-Length":["13"]},"raw":"SFRUUC8xLjEgNDAxIFVuYXV0aG9yaXplZA0KDQo="}}`
	cloudLogging = `[{"insertId":"65f","jsonPayload":{"body":{json},"headers":` + jsonMap + `,"message":"webhook"},"httpRequest":{"requestMethod":"POST","requestUrl":"https://a.example/"},` +
		`"logName":"projects/p/logs/stdout","receiveTimestamp":"{now}","resource":{"labels":{"service_name":"s"},"type":"cloud_run_revision"},"severity":"INFO","timestamp":"{now}"}]`
	cloudLoggingStruct = `{"insertId":"65f","jsonPayload":{"body":{"data":{"id":"batches/é😀","output_file_uri":"files/a<b>&c"},"timestamp":"{eventtime}","type":"batch.succeeded","version":"v1"},"headers":` + jsonMap + `},"timestamp":"{now}"}`
)

func dump(headers, body string) string { return `{"headers":` + headers + `,` + body + `}` }

// captures are captured requests in the formats of common programs, each with its
// cause. An empty cause means that the functions accept the request.
var captures = []struct {
	name    string
	scheme  string
	before  func(d *sent) // it is written down
	capture string
	cause   explain.Cause
}{
	{"net/http DumpRequest", "v1", nil, rawHeaders + "\r\n{body}", ""},
	{"net/http DumpRequest, chunked", "v1", nil, rawHeaders + "Transfer-Encoding: chunked\r\n\r\n{xlen}\r\n{body}\r\n0\r\n\r\n", ""},
	{"net/http DumpRequest, logged with %q", "v1", nil, `"` + strings.ReplaceAll(rawHeaders, "\r\n", `\r\n`) + `\r\n{json}` + `"`, ""},
	{"net/http, bytes printed as numbers", "v1", nil, "[{rawints}]\n", ""},
	{"net/http, Header printed with %v", "v1", nil, "map[Accept:[*/* a b] Webhook-Id:[{id}] Webhook-Signature:[{sig}] Webhook-Timestamp:[{ts}]]\n{body}", ""},
	{"net/http DumpRequest(r, false)", "v1", nil, rawHeaders + "\r\n", explain.BodyMissing},
	{"net/http, a log's prefix before", "v1", nil, "2026/09/25 10:00:00 " + rawHeaders + "\r\n{body}", ""},
	{"net/http DumpRequest, chunked, of other lengths", "v1", nil, rawHeaders + "Transfer-Encoding: chunked\r\n\r\n50\r\n{body}\r\n0\r\n\r\n", explain.BodyChunks},
	{"nc, chunks and no header of it", "v1", nil, rawHeaders + "\r\n{xlen}\r\n{body}\r\n0\r\n\r\n", explain.BodyChunks},
	{"tcpdump, cut in a chunk", "v1", nil, rawHeaders + "Transfer-Encoding: chunked\r\n\r\n40\r\n{\"type\":\"batch", explain.BodyChunks},
	{"curl -v", "v1", nil, curl + curlAnswer, explain.BodyMissing},
	{"curl -v, the file put into it", "v1", nil, curl + "{body}\n" + curlAnswer, ""},
	{"curl -v over HTTP/2", "v1a", nil, strings.Replace(curl, "HTTP/1.1", "HTTP/2", 1) + "} [160 bytes data]\n" + strings.Replace(curlAnswer, "HTTP/1.1", "HTTP/2", 1), explain.BodyMissing},
	{"Express, headers and a parsed body", "v1", nil, dump(jsonMap, `"body":{body}`), explain.BodyParsed},
	{"Express, no parser and no body", "v1", nil, dump(jsonMap, `"body":{}`), explain.BodyMissing},
	{"Express, rawBody beside the parsed body", "v1", nil, dump(jsonMap, `"body":{body},"rawBody":{"type":"Buffer","data":[{ints}]}`), ""},
	{"Express, console.log of headers and body", "v1", nil, jsHeaders + " {js}", explain.BodyParsed},
	{"Express, console.log of headers and a Buffer", "v1", nil, jsHeaders + " <Buffer {hex}>", ""},
	{"Express, console.log of a long Buffer", "v1", nil, jsHeaders + " <Buffer 7b 22 74 79 70 65 ... 149 more bytes>", explain.Incomplete},
	{"Express, rawHeaders", "v1", nil, `{"rawHeaders":["Host","a.example","webhook-id","{id}","webhook-timestamp","{ts}","webhook-signature","{sig}"],"body":{json}}`, ""},
	{"Express, console.log of a long Buffer beside the parsed body", "v1", nil, "{\n  headers: " + jsHeaders + ",\n  body: {js},\n  rawBody: <Buffer 7b 22 74 79 70 65 ... 149 more bytes>\n}", explain.BodyParsed},
	{"Express, a Uint8Array", "v1", nil, dump(jsonMap, `"body":{"0":123,"1":34,"2":116,"3":121,"4":112,"5":101,"6":34,"7":58}`), explain.Incomplete},
	{"Flask, dict and data", "v1", nil, pyHeaders + "\n{py}\n", ""},
	{"Flask, dict and get_json", "v1", nil, pyHeaders + "\n{pyobj}\n", explain.BodyParsed},
	{"Flask, an empty form beside the JSON", "v1", nil, dump(jsonMap, `"data":"","json":{body}`), explain.BodyParsed},
	{"Flask, labels", "v1", nil, "Headers: " + pyHeaders + "\nBody: {py}\n", ""},
	{"Flask, JSON of both", "v1", nil, dump(jsonMap, `"data":{json}`), ""},
	{"Flask, JSON of headers alone", "v1", nil, jsonMap, explain.BodyMissing},
	{"Flask, EnvironHeaders", "v1", nil, "{'headers': EnvironHeaders([('Host', 'a.example'), ('Webhook-Id', '{id}'), ('Webhook-Timestamp', '{ts}'), ('Webhook-Signature', '{sig}')]), 'data': {py}}", ""},
	{"Flask, repr of both", "v1", nil, "EnvironHeaders([('Host', 'a.example'), ('Webhook-Id', '{id}'), ('Webhook-Timestamp', '{ts}'), ('Webhook-Signature', '{sig}')])\n{py}\n", ""},
	{"WSGI environ", "v1", nil, "{'REQUEST_METHOD': 'POST', 'HTTP_HOST': 'a', 'HTTP_WEBHOOK_ID': '{id}', 'HTTP_WEBHOOK_TIMESTAMP': '{ts}', 'HTTP_WEBHOOK_SIGNATURE': '{sig}', 'wsgi.errors': <_io.TextIOWrapper name='<stderr>'>}\n{py}", ""},
	{"ASGI scope", "v1", nil, "{'type': 'http', 'method': 'POST', 'headers': [(b'host', b'a.example'), (b'webhook-id', b'{id}'), (b'webhook-timestamp', b'{ts}'), (b'webhook-signature', b'{sig}')], 'body': {py}}", ""},
	{"numbers as numbers", "v1", nil, dump(`{"webhook-id":"{id}","webhook-timestamp":{ts},"webhook-signature":"{sig}"}`, `"body":{json}`), ""},
	{"API Gateway, base64", "v1", nil, `{"version":"2.0","rawPath":"/","headers":` + jsonMap + `,"body":"{b64}","isBase64Encoded":true}`, ""},
	{"base64 that does not say so", "v1", nil, dump(jsonMap, `"body":"{b64}"`), ""},
	{"HTTP archive", "v1", nil, `{"log":{"entries":[{"startedDateTime":"{now}","request":{"method":"POST","url":"https://a.example/","headers":[{"name":"webhook-id","value":"{id}"},{"name":"webhook-timestamp","value":"{ts}"},{"name":"webhook-signature","value":"{sig}"}],"postData":{"mimeType":"application/json","text":{json}}}}]}}`, ""},
	{"Cloud Logging", "v1", nil, cloudLogging, ""},
	{"Cloud Logging, a body that became a Struct", "v1", nil, cloudLoggingStruct, explain.BodyParsed},
	{"Express, a list of bytes in a parsed body", "v1", func(d *sent) { d.body = []byte(`{"bytes":[1,2,3,4,5,6,7,255]}`); d.sign() }, dump(jsonMap, `"body":{body}`), explain.BodyParsed},
	{"Cloud Logging, text payload", "v1", nil, `{"textPayload":"request: \r\n","timestamp":"{now}","labels":{"dump":"` + strings.ReplaceAll(rawHeaders, "\r\n", `\r\n`) + `\r\n{json}"}}`, ""},
	{"webhook.site", "v1", nil, webhookSite, ""},
	{"webhook.site, an old one", "v1", func(d *sent) {
		d.at = time.Date(2026, 9, 25, 10, 0, 0, 0, time.UTC)
		d.body = event(d.at)
		d.sign()
	}, webhookSite, explain.Stale},
	{"ngrok", "v1a", nil, ngrok, ""},
	{"ngrok, a replay an hour later", "v1a", func(d *sent) {
		d.at = d.at.Add(-time.Hour)
		d.body = event(d.at)
		d.sign()
		d.at = d.at.Add(time.Nanosecond)
	}, ngrok, explain.Stale},
	{"ngrok, gzip on the way", "v1", packed("gzip", "gzip"), ngrok, explain.BodyCompressed},
	{"gzip that was printed as text", "v1", nil, dump(jsonMap, `"body":"\u001f\ufffd\b\u0000\u0000\ufffd"`), explain.BodyCompressed},
	{"gzip that is cut, not said", "v1", func(d *sent) { d.body = compress(d.body, "gzip")[:40] }, ngrok, explain.BodyCompressed},
	{"secret in UTF-16 without a mark", "v1", stored(func(d *sent) string { return string(asUTF16([]byte(d.by.secret()))[2:]) }), ngrok, explain.SecretMark},
	{"zstd, not said", "v1", func(d *sent) { d.body = []byte("\x28\xb5\x2f\xfd\x04\x00") }, ngrok, explain.BodyCompressed},
	{"no webhook-signature", "v1", nil, strings.Replace(rawHeaders, "webhook-signature", "x-other", 1) + "\r\n{body}", explain.HeaderMissing},
	{"secret that was decoded and printed as text", "v1", stored(func(d *sent) string { return strings.ToValidUTF8(string(d.by.key)+"\xff", "\ufffd") }), rawHeaders + "\r\n{body}", explain.SecretDecoded},
	{"PowerShell, UTF-16", "v1", nil, "\xff\xfe" + jsonMap, explain.BodyMissing},
	{"signed by a clock that is ahead", "v1", clock(time.Hour), rawHeaders + "\r\n{body}", explain.SenderClock},
	{"signed by a clock that is behind", "jwt", clock(-time.Hour), rawHeaders + "\r\n{body}", explain.SenderClock},
	{"a token that is kept", "jwt", func(d *sent) { d.claims = map[string]any{"iat": d.at.Add(-30 * time.Minute).Unix()}; d.sign() }, ngrok, explain.TokenOld},
	{"signature in hex", "v1", written(func(raw []byte) string { return fmt.Sprintf("%x", raw) }), cloudLogging, explain.SignatureEncoding},
	{"signature in base64url", "v1a", written(base64.RawURLEncoding.EncodeToString), pyHeaders + "\n{py}", explain.SignatureEncoding},
	{"signature unpadded", "svix", written(base64.RawStdEncoding.EncodeToString), webhookSite, explain.SignatureEncoding},
	{"GitHub's webhook", "v1", nil, "POST / HTTP/1.1\nHost: a\nX-GitHub-Event: push\nX-GitHub-Hook-ID: 1\nX-Hub-Signature-256: sha256=00\n\n{}", explain.OtherScheme},
	{"Stripe's webhook", "v1", nil, dump(`{"stripe-signature":"t=1,v1=00,v0=00"}`, `"body":"{}"`), explain.OtherScheme},
	{"of another webhook_config", "v1a", func(d *sent) { d.to = d.by.receiver("v1") }, rawHeaders + "\r\n{body}", explain.V1aAtStatic},
	{"dotenv", "v1", stored(func(d *sent) string { return "GEMINIHOOK_SECRET='" + d.by.secret() + "'" }), cloudLogging, explain.SecretLine},
	{"secret by PowerShell", "v1", stored(func(d *sent) string { return string(asUTF16([]byte(d.by.secret()))) }), rawHeaders + "\r\n{body}", explain.SecretMark},
	{"secret by base64 -d", "svix", stored(func(d *sent) string { return string(d.by.key) }), rawHeaders + "\r\n{body}", explain.SecretDecoded},
	{"secret by kubectl", "v1", stored(func(d *sent) string { return base64.StdEncoding.EncodeToString([]byte(d.by.secret())) }), rawHeaders + "\r\n{body}", explain.SecretTwice},
	{"id pasted from a document", "v1", func(d *sent) { d.id += "\u00a0" }, rawHeaders + "\r\n{body}", explain.HeaderSpace},
	{"id with Latin-1's no-break space", "v1", func(d *sent) { d.id += "\xa0" }, rawHeaders + "\r\n{body}", explain.HeaderSpace},
	{"body over the limit", "v1", func(d *sent) { d.body = append(d.body, strings.Repeat(" ", 1<<20)...); d.sign() }, rawHeaders + "\r\n{body}", explain.BodyTooLarge},
	{"body over the limit, and changed", "v1", func(d *sent) { d.body = append(d.body, strings.Repeat("x", 1<<20)...) }, rawHeaders + "\r\n{body}", explain.BodyTooLarge},
	{"text in chunks", "v1", func(d *sent) { d.body = []byte("hello world"); d.sign(); d.body = chunks(d.body) }, rawHeaders + "\r\n{body}", explain.BodyChunks},
	{"text that was cut", "v1", func(d *sent) { d.body = []byte("hello world"); d.sign(); d.body = d.body[:5] }, rawHeaders + "Content-Length: 11\r\n\r\n{body}", explain.Incomplete},
	{"body written again by hand", "v1", func(d *sent) { d.body = indented(d.body) }, rawHeaders + "Content-Length: 155\r\n\r\n{body}", explain.Rewritten},
	{"body cut by a log", "v1", func(d *sent) { d.body = d.body[:80] }, cloudLogging, explain.Incomplete},
	{"another secret", "v1", stored(func(d *sent) string { return "whsec_" + base64.StdEncoding.EncodeToString(d.by.hmac("x")) }), cloudLogging, explain.WrongSecret},
	{"another secret, long ago", "v1", func(d *sent) {
		d.at = d.at.Add(-time.Hour)
		d.sign()
		d.to.Secrets = []string{"whsec_" + base64.StdEncoding.EncodeToString(d.by.hmac("x"))}
	}, rawHeaders + "\r\n{body}", explain.WrongSecret},
	{"another project's key", "v1a", func(d *sent) { d.to.Keys = d.to.Keys[1:] }, ngrok, explain.KeyNotInSet},
}

func TestCaptures(t *testing.T) {
	by := newSender(t)
	for _, test := range captures {
		t.Run(test.name, func(t *testing.T) {
			d := by.deliver(test.scheme)
			if test.before != nil {
				test.before(d)
			}
			capture := strings.ReplaceAll(test.capture, "{eventtime}", d.at.UTC().Format(time.RFC3339))
			capture = strings.ReplaceAll(capture, `\r\n{json}`, `\r\n`+strings.Trim(d.fill("{json}"), `"`))
			text := []byte(d.fill(capture))
			if rest, ok := strings.CutPrefix(string(text), "\xff\xfe"); ok {
				text = asUTF16([]byte(rest))
			}
			r := d.explain(t, text)
			if want := []explain.Cause{test.cause}; test.cause == "" && len(r.Causes) > 0 || test.cause != "" && fmt.Sprint(r.Causes) != fmt.Sprint(want) {
				t.Errorf("causes %v, want %q: %s %s\n%.800s", r.Causes, test.cause, r.Verdict, r.Why, text)
			}
			if accepted := test.cause == "" || test.cause == explain.BodyParsed; r.Genuine != accepted {
				t.Errorf("genuine %v: %s", r.Genuine, r.Verdict)
			}
		})
	}
	if len(captures) < 40 {
		t.Errorf("%d captures: some were removed", len(captures))
	}
}
