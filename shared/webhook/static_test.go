package webhook_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// The signature covers the id, the timestamp and the body, and is made with one of
// the secrets.
func TestStaticRejectsUnsigned(t *testing.T) {
	wantEachForged(t, sides(t)[0], map[string]func(h http.Header, body *[]byte){
		"other secret": func(h http.Header, body *[]byte) {
			key := signingKey(t, webhooktest.NewSecret())
			h.Set("Webhook-Signature", webhook.SignV1(key, someID, h.Get("Webhook-Timestamp"), *body))
		},
		// The secret's text instead of its bytes: a common mistake of receivers.
		"secret not decoded": func(h http.Header, body *[]byte) {
			key := signingKey(t, b64([]byte(secretA)))
			h.Set("Webhook-Signature", webhook.SignV1(key, someID, h.Get("Webhook-Timestamp"), *body))
		},
	})
}

func reencode(body []byte) []byte {
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		panic(err)
	}
	return must(json.Marshal(value))
}

// During a rotation the sender may sign with the old secret, the new one, or both.
// Several webhooks may share a URL.
func TestStaticAcceptsAllCurrentSecrets(t *testing.T) {
	inForce := []string{secretA, secretB, webhooktest.NewSecret()}
	var keys ring[webhook.SigningKey]
	for _, secret := range inForce {
		keys = append(keys, signingKey(t, secret))
	}
	static := &webhook.Static{Keys: keys}
	withdrawn := signingKey(t, webhooktest.NewSecret())
	now := time.Now()
	timestamp := webhooktest.Timestamp(now)
	old := webhook.SignV1(withdrawn, someID, timestamp, someBody)
	for i, key := range keys {
		fresh := webhook.SignV1(key, someID, timestamp, someBody)
		for _, signature := range []string{fresh, old + " " + fresh, fresh + " " + old} {
			d, err := static.Verify(t.Context(), webhooktest.Header(someID, now, signature), someBody)
			if wantRefusal(t, d, err, nil); t.Failed() {
				t.Fatalf("secret %d", i)
			}
		}
	}
	d, err := static.Verify(t.Context(), webhooktest.Header(someID, now, old), someBody)
	wantRefusal(t, d, err, webhook.ErrForged)
}

func TestParseSigningKeyAccepts(t *testing.T) {
	key := []byte("0123456789abcdefghi") // 19 bytes: base64 needs padding and has unused bits
	const text = "MDEyMzQ1Njc4OWFiY2RlZmdoaQ"
	want := webhook.SignV1(signingKey(t, base64.StdEncoding.EncodeToString(key)), someID, "1", nil)
	for _, secret := range []string{
		"\ufeff" + text, "\ufeffwhsec_" + text, "\ufeff\r\n whsec_" + text + "\r\n",
		text, text + "==", "whsec_" + text, "whsec_" + text + "==", " \twhsec_" + text + "\r\n", text + "=",
	} {
		if got := webhook.SignV1(signingKey(t, secret), someID, "1", nil); got != want {
			t.Errorf("%q is another key", secret)
		}
	}
}

func TestParseSigningKeyRejects(t *testing.T) {
	for name, secret := range map[string]string{
		"empty":                 "",
		"spaces":                " \n",
		"prefix alone":          "whsec_",
		"15 bytes":              "whsec_" + base64.StdEncoding.EncodeToString([]byte("0123456789abcde")),
		"not base64":            "whsec_0123456789abcdef*123456789abcdef",
		"URL alphabet":          "whsec_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_",
		"another prefix":        "v1,whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		"the prefix twice":      "whsec_whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		"a public key":          "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=",
		"two, a line each":      "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw=\nwhsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		"padding in the middle": "whsec_MfKQ9r8GKYqr=TwjUPD8ILPZIo2LaLaSw",
		"a lone character":      "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwA",
		"not UTF-8":             "whsec_\xff\xfe\xfd",
		"UTF-16":                "\xff\xfew\x00h\x00s\x00e\x00c\x00_\x00M\x00f\x00K\x00Q\x009\x00r\x008\x00G\x00K\x00Y\x00q\x00r\x00",
		"two marks":             "\ufeff\ufeffwhsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		"a mark in the middle":  "whsec_\ufeffMfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		"a mark alone":          "\ufeff",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := webhook.ParseSigningKey([]byte(secret))
			if err == nil {
				t.Fatal("accepted")
			}
			bare := strings.ReplaceAll(strings.TrimSpace(secret), "whsec_", "")
			if len(bare) > 3 && strings.Contains(err.Error(), bare[:4]) {
				t.Errorf("the error contains the secret: %v", err)
			}
		})
	}
	if _, err := webhook.ParseSigningKey([]byte("whsec_" + base64.StdEncoding.EncodeToString([]byte("0123456789abcdef")))); err != nil {
		t.Errorf("16 bytes: %v", err)
	}
}

// No format prints any part of a key.
func TestSigningKeyIsNotPrinted(t *testing.T) {
	raw := []byte("the raw key, 32 bytes, in ASCII.")
	secret := "whsec_" + base64.StdEncoding.EncodeToString(raw)
	key := signingKey(t, secret)
	webhook.SignV1(key, someID, "1", nil) // put a mac into the pool
	holder := struct {
		Key    webhook.SigningKey
		Ptr    *webhook.SigningKey
		List   []webhook.SigningKey
		hidden webhook.SigningKey
	}{key, &key, []webhook.SigningKey{key}, key}

	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o"} {
		for _, value := range []any{key, &key, holder, &holder, []any{key}, map[string]any{"key": key}} {
			fmt.Fprintf(&out, verb+"\n", value)
		}
	}
	for _, h := range []slog.Handler{slog.NewJSONHandler(&out, nil), slog.NewTextHandler(&out, nil)} {
		slog.New(h).Info("key", "key", key, "pointer", &key, "holder", holder)
	}
	out.Write(must(json.Marshal(holder)))

	text := out.String()
	for _, secret := range []string{
		string(raw[:8]), secret[6:14], hex.EncodeToString(raw[:8]), strings.ToUpper(hex.EncodeToString(raw[:8])),
		strings.Trim(fmt.Sprint(raw[:8]), "[]"), strings.TrimPrefix(fmt.Sprintf("%#v", raw[:4]), "[]byte{")[:16],
		strings.Trim(fmt.Sprintf("%o", raw[:8]), "[]"),
	} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in\n%s", secret, text)
		}
	}
	if got := fmt.Sprintf("%v %+v %#v %s", key, key, key, key); got != strings.Repeat("SigningKey(hidden) ", 3)+"SigningKey(hidden)" {
		t.Errorf("%s", got)
	}
}
