package webhook_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook/shared/webhook"
)

// vectors are the published test vectors of Standard Webhooks.
type vectors struct {
	Vectors          []vector `json:"vectors"`
	MustFail         []vector `json:"must_fail"`
	UnpaddedSecrets  []string `json:"unpadded_secrets_to_accept"`
	RefuseTimestamps []string `json:"timestamps_to_refuse"`
}

type vector struct {
	Name        string         `json:"name"`
	Scheme      webhook.Scheme `json:"scheme"`
	Secret      string         `json:"secret"`
	PrivateKey  string         `json:"private_key"`
	PublicKey   string         `json:"public_key"`
	ID          string         `json:"webhook_id"`
	Timestamp   string         `json:"webhook_timestamp"`
	Signature   string         `json:"signature"`
	Payload     string         `json:"payload"`
	PayloadRule string         `json:"payload_rule"`
}

func readVectors(t *testing.T) vectors {
	t.Helper()
	text, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var all vectors
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	if len(all.Vectors) < 5 || len(all.MustFail) < 1 || len(all.UnpaddedSecrets) < 2 || len(all.RefuseTimestamps) < 7 {
		t.Fatal("testdata/vectors.json has lost some")
	}
	return all
}

func (v vector) body(t *testing.T) []byte {
	if v.PayloadRule == "" {
		return []byte(v.Payload)
	}
	var letter string
	var n int
	if _, err := fmt.Sscanf(v.PayloadRule, "ASCII letter '%1s' repeated %d times", &letter, &n); err != nil {
		t.Fatalf("%q: %v", v.PayloadRule, err)
	}
	return bytes.Repeat([]byte(letter), n)
}

func (v vector) header() http.Header {
	return http.Header{
		"Webhook-Id":        {v.ID},
		"Webhook-Timestamp": {v.Timestamp},
		"Webhook-Signature": {v.Signature},
	}
}

// keys returns a verifier with the vector's key, and a signer with the same key.
func (v vector) keys(t *testing.T) (verifier, func(id, timestamp string, body []byte) string) {
	t.Helper()
	switch v.Scheme {
	case webhook.V1:
		key := signingKey(t, v.Secret)
		return &webhook.Static{Keys: ring[webhook.SigningKey]{key}},
			func(id, timestamp string, body []byte) string { return webhook.SignV1(key, id, timestamp, body) }
	case webhook.V1a:
		public := decode(t, strings.TrimPrefix(v.PublicKey, "whpk_"))
		private := decode(t, strings.TrimPrefix(v.PrivateKey, "whsk_"))
		return &webhook.Dynamic{Keys: ring[webhook.PublicKey]{{Key: ed25519.PublicKey(public)}}},
			func(id, timestamp string, body []byte) string {
				return webhook.SignV1a(ed25519.PrivateKey(private), id, timestamp, body)
			}
	}
	t.Fatalf("unknown scheme %q", v.Scheme)
	return nil, nil
}

func decode(t *testing.T, text string) []byte {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// sleepUntil advances the clock of a bubble, which starts in the year 2000.
func sleepUntil(t *testing.T, timestamp string) {
	t.Helper()
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(time.Unix(seconds, 0)))
}

func TestVectors(t *testing.T) {
	for _, v := range readVectors(t).Vectors {
		t.Run(v.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sleepUntil(t, v.Timestamp)
				verifier, sign := v.keys(t)
				body := v.body(t)
				d, err := verifier.Verify(t.Context(), v.header(), body)
				wantRefusal(t, d, err, nil)
				if got := sign(v.ID, v.Timestamp, body); got != v.Signature {
					t.Errorf("sign: %s, want %s", got, v.Signature)
				}
				time.Sleep(webhook.DefaultTolerance + time.Second)
				d, err = verifier.Verify(t.Context(), v.header(), body)
				wantRefusal(t, d, err, webhook.ErrStale)
			})
		})
	}
}

func TestVectorsThatMustFail(t *testing.T) {
	all := readVectors(t)
	v := all.Vectors[0]
	for _, bad := range all.MustFail {
		synctest.Test(t, func(t *testing.T) {
			sleepUntil(t, v.Timestamp)
			verifier, _ := v.keys(t)
			h := v.header()
			h.Set("Webhook-Signature", bad.Signature)
			d, err := verifier.Verify(t.Context(), h, v.body(t))
			wantRefusal(t, d, err, webhook.ErrForged)
			h.Set("Webhook-Signature", bad.Signature+" "+v.Signature)
			d, err = verifier.Verify(t.Context(), h, v.body(t))
			wantRefusal(t, d, err, nil)
		})
	}
}

func TestVectorsOfUnpaddedSecrets(t *testing.T) {
	now := time.Now()
	for _, secret := range readVectors(t).UnpaddedSecrets {
		padded := secret + strings.Repeat("=", -len(secret)&3)
		for _, signer := range []string{secret, padded, "whsec_" + secret, "whsec_" + padded, "\t" + secret + "\r\n"} {
			v := vector{Scheme: webhook.V1, Secret: secret, ID: someID, Timestamp: strconv.FormatInt(now.Unix(), 10)}
			v.Signature = webhook.SignV1(signingKey(t, signer), v.ID, v.Timestamp, someBody)
			verifier, _ := v.keys(t)
			d, err := verifier.Verify(t.Context(), v.header(), someBody)
			wantRefusal(t, d, err, nil)
		}
	}
}

func TestVectorsOfTimestampsToReject(t *testing.T) {
	for _, timestamp := range readVectors(t).RefuseTimestamps {
		for _, s := range sides(t) {
			t.Run(fmt.Sprintf("%s %q", s.scheme, timestamp), func(t *testing.T) {
				h := http.Header{
					"Webhook-Id":        {someID},
					"Webhook-Timestamp": {timestamp},
					"Webhook-Signature": {s.sign(someID, timestamp, someBody)},
				}
				d, err := s.verifier.Verify(t.Context(), h, someBody)
				wantRefusal(t, d, err, webhook.ErrMalformed)
			})
		}
	}
}
