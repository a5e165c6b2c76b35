package jwks

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/geminihook/geminihook/shared/refresh"
	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

func b64(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func open(url string) *refresh.Cache[webhook.PublicKey] { return Open(must(ParseURL(url)), discard()) }

// fields are the members of a JSON Web Key.
type fields map[string]any

func okp(change fields) fields {
	return with(fields{"kty": "OKP", "crv": "Ed25519", "x": b64(edPublic)}, change)
}

func rsaFields(change fields) fields {
	return with(fields{"kty": "RSA", "n": b64(modulus(2048).Bytes()), "e": "AQAB"}, change)
}

func ec(change fields) fields {
	return with(fields{"kty": "EC", "crv": "P-256", "x": b64(ecRaw[1:33]), "y": b64(ecRaw[33:65])}, change)
}

func with(key, change fields) fields {
	for name, value := range change {
		if key[name] = value; value == nil {
			delete(key, name)
		}
	}
	return key
}

var (
	edPublic = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)).Public().(ed25519.PublicKey)
	ecRaw    = must(must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)).PublicKey.Bytes())
)

// modulus returns an odd number with that many bits. Its factors are not needed.
func modulus(bits int) *big.Int {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	return n.Add(n, big.NewInt(12345))
}

func set(keys ...fields) string {
	return string(must(json.Marshal(map[string]any{"keys": keys})))
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// answer serves a fixed text.
func answer(t *testing.T, text string) *httptest.Server {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(text))
	}))
	t.Cleanup(server.Close)
	return server
}

func fetch(t *testing.T, url string) ([]webhook.PublicKey, error) {
	t.Helper()
	return open(url).Fetch(t.Context())
}

// A set with one key returns that key if it is usable, and an error otherwise.
func TestKeys(t *testing.T) {
	private := must(rsa.GenerateKey(rand.Reader, 2048))
	for name, test := range map[string]struct {
		key    fields
		usable bool
	}{
		"Ed25519, as live":   {okp(nil), true},
		"Ed25519, use, alg":  {okp(fields{"use": "sig", "alg": "EdDSA", "kid": "k"}), true},
		"RSA 2048":           {rsaFields(nil), true},
		"RSA 8192":           {rsaFields(fields{"n": b64(modulus(8192).Bytes())}), true},
		"Ed25519, alg":       {okp(fields{"alg": "Ed25519"}), true},
		"Ed25519, alg empty": {okp(fields{"alg": ""}), true},
		"RSA, alg":           {rsaFields(fields{"alg": "RS256"}), true},
		"P-256, alg":         {ec(fields{"alg": "ES256"}), true},
		"verify":             {okp(fields{"key_ops": []string{"verify"}}), true},
		"verify and more":    {rsaFields(fields{"key_ops": []string{"x", "sign", "verify"}, "use": "sig", "alg": "RS256"}), true},

		"Ed25519, alg Ed448":       {okp(fields{"alg": "Ed448"}), false},
		"Ed25519, alg ES256":       {okp(fields{"alg": "ES256"}), false},
		"Ed25519, alg ECDH-ES":     {okp(fields{"alg": "ECDH-ES"}), false},
		"Ed25519, alg lower case":  {okp(fields{"alg": "eddsa"}), false},
		"Ed25519, alg a number":    {okp(fields{"alg": 5}), false},
		"RSA, alg RSA-OAEP-256":    {rsaFields(fields{"alg": "RSA-OAEP-256"}), false},
		"RSA, alg RSA1_5":          {rsaFields(fields{"alg": "RSA1_5"}), false},
		"RSA, alg PS256":           {rsaFields(fields{"alg": "PS256"}), false},
		"RSA, alg RS512":           {rsaFields(fields{"alg": "RS512"}), false},
		"RSA, alg none":            {rsaFields(fields{"alg": "none"}), false},
		"RSA, alg HS256":           {rsaFields(fields{"alg": "HS256"}), false},
		"RSA, alg unheard of":      {rsaFields(fields{"alg": "x"}), false},
		"RSA, alg PS256, use sig":  {rsaFields(fields{"alg": "PS256", "use": "sig"}), false},
		"P-256, alg ES384":         {ec(fields{"alg": "ES384"}), false},
		"P-256, alg ECDH-ES":       {ec(fields{"alg": "ECDH-ES"}), false},
		"P-256, alg EdDSA":         {ec(fields{"alg": "EdDSA"}), false},
		"P-256, alg Ed25519":       {ec(fields{"alg": "Ed25519"}), false},
		"encrypt":                  {rsaFields(fields{"key_ops": []string{"encrypt"}}), false},
		"wrapKey":                  {rsaFields(fields{"key_ops": []string{"wrapKey", "encrypt"}}), false},
		"sign":                     {okp(fields{"key_ops": []string{"sign"}}), false},
		"no operation":             {okp(fields{"key_ops": []string{}}), false},
		"an unheard-of operation":  {ec(fields{"key_ops": []string{"x"}}), false},
		"operations a text":        {ec(fields{"key_ops": "verify"}), false},
		"encrypt, though use sig":  {ec(fields{"key_ops": []string{"encrypt"}, "use": "sig"}), false},
		"verify, though use enc":   {ec(fields{"key_ops": []string{"verify"}, "use": "enc"}), false},
		"verify, though alg PS256": {rsaFields(fields{"key_ops": []string{"verify"}, "alg": "PS256"}), false},

		"RSA, exponent 3":     {rsaFields(fields{"e": "Aw"}), true},
		"P-256":               {ec(nil), true},
		"unknown field":       {okp(fields{"x-new": map[string]any{"a": 1}}), true},
		"Ed25519, 31 bytes":   {okp(fields{"x": b64(edPublic[:31])}), false},
		"Ed25519, 33 bytes":   {okp(fields{"x": b64(append(edPublic[:32:32], 0))}), false},
		"Ed25519, 3 bytes":    {okp(fields{"x": "AAAA"}), false},
		"Ed25519, 0 bytes":    {okp(fields{"x": ""}), false},
		"Ed25519, no x":       {okp(fields{"x": nil}), false},
		"Ed25519, bad base64": {okp(fields{"x": "*" + b64(edPublic)[1:]}), false},
		"Ed25519, x a number": {okp(fields{"x": 5}), false},
		"Ed25519, private":    {okp(fields{"d": b64(edPublic)}), false},
		"Ed448":               {okp(fields{"crv": "Ed448"}), false},
		"X25519":              {okp(fields{"crv": "X25519"}), false},
		"OKP, no crv":         {okp(fields{"crv": nil}), false},
		"for encryption":      {okp(fields{"use": "enc"}), false},
		"for who knows what":  {okp(fields{"use": "x"}), false},
		"RSA, for encryption": {rsaFields(fields{"use": "enc"}), false},
		"RSA 1024":            {rsaFields(fields{"n": b64(modulus(1024).Bytes())}), false},
		"RSA 2047":            {rsaFields(fields{"n": b64(modulus(2047).Bytes())}), false},
		"RSA, exponent even":  {rsaFields(fields{"e": "BA"}), false},
		"RSA, exponent 1":     {rsaFields(fields{"e": "AQ"}), false},
		"RSA, exponent 0":     {rsaFields(fields{"e": "AA"}), false},
		"RSA, no n":           {rsaFields(fields{"n": nil}), false},
		"RSA, no e":           {rsaFields(fields{"e": nil}), false},
		"RSA, n empty":        {rsaFields(fields{"n": ""}), false},
		"RSA, private": {rsaFields(fields{
			"n": b64(private.N.Bytes()), "d": b64(private.D.Bytes()), "p": b64(private.Primes[0].Bytes()), "q": b64(private.Primes[1].Bytes()),
		}), false},
		"P-384": {ec(fields{"crv": "P-384", "x": b64(make([]byte, 48)), "y": b64(make([]byte, 48))}), false},
		"P-384, genuine": {func() fields {
			raw := must(must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)).PublicKey.Bytes())
			return ec(fields{"crv": "P-384", "x": b64(raw[1:49]), "y": b64(raw[49:])})
		}(), false},
		"secp256k1":           {ec(fields{"crv": "secp256k1"}), false},
		"P-256 off the curve": {ec(fields{"y": b64(ecRaw[1:33])}), false},
		"P-256 at infinity":   {ec(fields{"x": b64(make([]byte, 32)), "y": b64(make([]byte, 32))}), false},
		"P-256, x too long":   {ec(fields{"x": b64(append([]byte{1}, ecRaw[1:33]...))}), false},
		"P-256, x empty":      {ec(fields{"x": ""}), false},
		"P-256, no y":         {ec(fields{"y": nil}), false},
		"P-256, private":      {ec(fields{"d": b64(make([]byte, 32))}), false},
		"symmetric":           {fields{"kty": "oct", "k": b64(make([]byte, 32))}, false},
		"unknown kty":         {fields{"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA"}, false},
		"kty a number":        {fields{"kty": 5}, false},
		"no kty":              {fields{"x": "AAAA"}, false},
		"empty":               {fields{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			keys, err := Parse([]byte(set(test.key)))
			if test.usable != (err == nil) || test.usable != (len(keys) == 1) {
				t.Fatalf("%v, %v; want usable: %v", keys, err, test.usable)
			}
			// In a set with good keys, the good keys are returned.
			keys, err = Parse([]byte(set(okp(fields{"kid": "1"}), test.key, ec(fields{"kid": "2"}))))
			want := map[bool]int{true: 3, false: 2}[test.usable]
			if err != nil || len(keys) != want || keys[0].ID != "1" || keys[want-1].ID != "2" {
				t.Errorf("among good ones: %v, %v", keys, err)
			}
			for _, key := range keys {
				verifyWith(key)
			}
		})
	}
}

// verifyWith verifies an invalid signature, which must not panic with any key.
func verifyWith(key webhook.PublicKey) {
	digest := sha256.Sum256(nil)
	switch key := key.Key.(type) {
	case ed25519.PublicKey:
		ed25519.Verify(key, nil, make([]byte, ed25519.SignatureSize))
	case *rsa.PublicKey:
		_ = rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], make([]byte, key.Size()))
	case *ecdsa.PublicKey:
		ecdsa.Verify(key, digest[:], big.NewInt(1), big.NewInt(1))
	default:
		panic(fmt.Sprintf("key of type %T", key))
	}
}

func TestKeyIsTheOnePublished(t *testing.T) {
	keys := must(Parse([]byte(set(okp(nil), rsaFields(fields{"kid": "r"}), ec(fields{"kid": "e", "use": "sig"})))))
	if key, ok := keys[0].Key.(ed25519.PublicKey); !ok || !key.Equal(edPublic) || keys[0].ID != "" {
		t.Errorf("%+v", keys[0])
	}
	if key, ok := keys[1].Key.(*rsa.PublicKey); !ok || key.N.Cmp(modulus(2048)) != 0 || key.E != 65537 || keys[1].ID != "r" {
		t.Errorf("%+v", keys[1])
	}
	if key, ok := keys[2].Key.(*ecdsa.PublicKey); !ok || string(must(key.Bytes())) != string(ecRaw) || keys[2].ID != "e" {
		t.Errorf("%+v", keys[2])
	}
}

// RSA needs an odd modulus. Verification with an even one fails and does not panic.
func TestEvenModulus(t *testing.T) {
	n := modulus(2048)
	keys, err := Parse([]byte(set(rsaFields(fields{"n": b64(n.Add(n, big.NewInt(1)).Bytes())}))))
	if err == nil {
		verifyWith(keys[0])
	}
}

// edKeys returns n keys with their numbers as kids.
func edKeys(n int) (many []fields) {
	for i := range n {
		many = append(many, okp(fields{"kid": fmt.Sprint(i), "x": b64(ed25519.NewKeyFromSeed(append(make([]byte, 31), byte(i))).Public().(ed25519.PublicKey))}))
	}
	return many
}

func rsaKeys(n int) (many []fields) {
	for i := range n {
		many = append(many, rsaFields(fields{"n": b64(new(big.Int).Add(modulus(2048), big.NewInt(int64(2*i))).Bytes())}))
	}
	return many
}

// wantCut checks that keys of exactly these algorithms were left out, and that the
// error names the limit.
func wantCut(t *testing.T, err error, bound string, algorithms ...string) {
	t.Helper()
	if len(algorithms) == 0 {
		if err != nil {
			t.Error(err)
		}
		return
	}
	var cut *webhook.CutError
	if !errors.Is(err, refresh.ErrPartial) || !errors.As(err, &cut) || !slices.Equal(cut.Algorithms, algorithms) || !strings.Contains(err.Error(), bound) {
		t.Errorf("%v; want %v cut", err, algorithms)
	}
}

func TestMaxKeys(t *testing.T) {
	for name, test := range map[string]struct {
		keys []fields
		want int
		cut  []string
	}{
		"16":                   {edKeys(16), 16, nil},
		"17":                   {edKeys(17), 16, []string{"EdDSA"}},
		"100":                  {edKeys(100), 16, []string{"EdDSA"}},
		"16 of each of two":    {slices.Concat(rsaKeys(16), edKeys(16)), 32, nil},
		"100 RSA first":        {slices.Concat(rsaKeys(100), edKeys(3)), 19, []string{"RS256"}},
		"17 of each of two":    {slices.Concat(rsaKeys(17), edKeys(17)), 32, []string{"RS256", "EdDSA"}},
		"100 of no use first":  {slices.Concat(slices.Repeat([]fields{okp(fields{"use": "enc"}), okp(fields{"alg": "x"}), {"kty": "x"}}, 33), edKeys(16)), 16, nil},
		"100 of no use behind": {slices.Concat(edKeys(16), slices.Repeat([]fields{okp(fields{"use": "enc"}), okp(fields{"key_ops": []string{"sign"}})}, 50)), 16, nil},
	} {
		t.Run(name, func(t *testing.T) {
			keys, err := fetch(t, answer(t, set(test.keys...)).URL)
			if len(keys) != test.want {
				t.Errorf("%d keys, want %d", len(keys), test.want)
			}
			wantCut(t, err, "the maximum is 16", test.cut...)
			var kids []string // of the Ed25519 keys, which must be the first ones
			for _, key := range keys {
				if key.ID != "" {
					kids = append(kids, key.ID)
				}
			}
			for i, kid := range kids {
				if kid != fmt.Sprint(i) {
					t.Errorf("kids %v", kids)
				}
			}
		})
	}
}

// An RSA key above the maximum length is left out because of our limit, unless it is
// not meant for signatures.
func TestLongRSAKeysAreLeftOut(t *testing.T) {
	long := func(bits int, more fields) fields {
		return with(rsaFields(fields{"n": b64(modulus(bits).Bytes())}), more)
	}
	for _, key := range []fields{long(8193, nil), long(16384, fields{"use": "sig"})} {
		keys, err := Parse([]byte(set(okp(nil), key, rsaFields(nil))))
		if len(keys) != 2 {
			t.Errorf("%d keys", len(keys))
		}
		wantCut(t, err, "8192 bits", "RS256")
		if keys, err := Parse([]byte(set(key))); err == nil || errors.Is(err, refresh.ErrPartial) || len(keys) > 0 {
			t.Errorf("alone: %v, %v", keys, err)
		}
	}
	for _, key := range []fields{long(8193, fields{"use": "enc"}), long(8193, fields{"alg": "RSA-OAEP"}), long(8192, nil)} {
		_, err := Parse([]byte(set(okp(nil), key)))
		wantCut(t, err, "")
	}
}

// With too many keys of one algorithm in a set, a signature that matches none of the
// others is not definitely forged, but only if it is of that algorithm.
func TestMissAmongTooManyKeys(t *testing.T) {
	stranger := ed25519.NewKeyFromSeed(append(make([]byte, 31), 200))
	known := ed25519.NewKeyFromSeed(append(make([]byte, 31), 2))
	now, body := time.Now(), webhooktest.NewEvent("batch.succeeded")
	for name, test := range map[string]struct {
		keys    []fields
		refused bool
	}{
		"too many Ed25519 keys": {edKeys(17), false},
		"too many RSA keys":     {slices.Concat(rsaKeys(17), edKeys(16)), true},
	} {
		t.Run(name, func(t *testing.T) {
			dynamic := &webhook.Dynamic{Keys: open(answer(t, set(test.keys...)).URL)}
			verify := func(key ed25519.PrivateKey) error {
				h := webhooktest.Header("msg_1", now, webhook.SignV1a(key, "msg_1", webhooktest.Timestamp(now), body))
				_, err := dynamic.Verify(t.Context(), h, body)
				return err
			}
			if err := verify(known); err != nil {
				t.Error(err)
			}
			if err := verify(stranger); errors.Is(err, webhook.ErrForged) != test.refused || err == nil ||
				!test.refused && !strings.Contains(err.Error(), "the maximum is 16") {
				t.Errorf("%v; want forged: %v", err, test.refused)
			}
		})
	}
}

// A key of small order verifies a signature that was made without a private key: the
// one in this test, for at least one message in eight. Both signs of x and both
// encodings of y are rejected.
func TestSmallOrder(t *testing.T) {
	signature := make([]byte, ed25519.SignatureSize)
	signature[0] = 1 // R is the neutral element, S is 0
	for _, y := range smallOrderY {
		for _, sign := range []byte{0, 0x80} {
			key := must(hex.DecodeString(y))
			key[31] |= sign
			fooled := false
			for i := range 200 {
				fooled = fooled || ed25519.Verify(key, fmt.Append(nil, i), signature)
			}
			if !fooled {
				t.Errorf("%x is not of small order", key)
			}
			if keys, err := Parse([]byte(set(okp(fields{"x": b64(key)})))); err == nil {
				t.Errorf("%x: %v", key, keys)
			}
		}
	}
	// The list is complete: y, -y, and the second encodings of y below 19.
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	seen := make(map[string]bool)
	for _, text := range smallOrderY {
		y := must(hex.DecodeString(text))
		slices.Reverse(y)
		value := new(big.Int).SetBytes(y)
		seen[value.Mod(value, p).String()] = true
	}
	for text := range seen {
		y, _ := new(big.Int).SetString(text, 10)
		if minus := y.Neg(y).Mod(y, p).String(); !seen[minus] {
			t.Errorf("%s is missing", minus)
		}
	}
	if len(smallOrderY) != 7 || len(seen) != 5 {
		t.Errorf("%d encodings of %d values, want 7 of 5: 0, 1, -1 and two of order 8", len(smallOrderY), len(seen))
	}
}

// Texts without a usable key are errors, so that the keys in memory stay in use.
func TestSetsWithoutKeys(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":           "",
		"no JSON":           "<html>",
		"null":              "null",
		"list":              "[]",
		"list of keys":      "[" + string(must(json.Marshal(okp(nil)))) + "]",
		"number":            "5",
		"empty object":      "{}",
		"no keys":           `{"keys":[]}`,
		"keys null":         `{"keys":null}`,
		"keys an object":    `{"keys":{}}`,
		"keys a text":       `{"keys":"x"}`,
		"keys no objects":   `{"keys":[1,"a",null,[]]}`,
		"cut":               set(okp(nil))[:60],
		"PEM":               "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n",
		"certificates":      `{"kid":"-----BEGIN CERTIFICATE-----\nMII...\n-----END CERTIFICATE-----\n"}`,
		"deep":              strings.Repeat("[", 100_000),
		"deep keys":         `{"keys":` + strings.Repeat("[", 100_000),
		"deep within a key": `{"keys":[{"kty":"OKP","x":` + strings.Repeat(`{"a":`, 30_000),
	} {
		t.Run(name, func(t *testing.T) {
			if keys, err := fetch(t, answer(t, text).URL); err == nil {
				t.Errorf("keys: %v", keys)
			}
		})
	}
}

// A single key that is not in a set is accepted as a set of one.
func TestKeyAlone(t *testing.T) {
	keys, err := Parse(must(json.Marshal(okp(nil))))
	if err != nil || len(keys) != 1 {
		t.Errorf("%v, %v", keys, err)
	}
	if keys, err = Parse(must(json.Marshal(okp(fields{"d": b64(edPublic)})))); err == nil {
		t.Errorf("private: %v", keys)
	}
}

// limit repeats the value of maxBytes, so that a change of the constant needs a
// change here.
func TestAnswerIsBounded(t *testing.T) {
	const limit = 256 << 10
	pad := func(size int) string {
		text := set(okp(nil))
		return text + strings.Repeat(" ", size-len(text))
	}
	if keys, err := fetch(t, answer(t, pad(limit)).URL); err != nil || len(keys) != 1 {
		t.Errorf("at the limit: %v, %v", keys, err)
	}
	for _, size := range []int{limit + 1, 10 << 20} {
		var tooLarge *http.MaxBytesError
		if keys, err := fetch(t, answer(t, pad(size)).URL); !errors.As(err, &tooLarge) {
			t.Errorf("%d bytes: %v, %v", size, keys, err)
		}
	}
}

// An endless response is not read beyond the limit.
func TestEndlessAnswer(t *testing.T) {
	done := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		defer close(done)
		for {
			if _, err := w.Write([]byte(strings.Repeat(" ", 1<<16))); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	if keys, err := fetch(t, server.URL); err == nil {
		t.Errorf("keys: %v", keys)
	}
	<-done // the client closed the connection
}

func TestRedirectIsNotFollowed(t *testing.T) {
	var followed atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		followed.Store(true)
		_, _ = w.Write([]byte(set(okp(nil))))
	}))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		server := httptest.NewServer(http.RedirectHandler(other.URL, status))
		if keys, err := fetch(t, server.URL); err == nil || followed.Load() {
			t.Errorf("%d: %v, followed: %v", status, keys, followed.Load())
		}
		server.Close()
	}
}

// A set is rejected if its status is not 200.
func TestStatusMustBeOK(t *testing.T) {
	for _, status := range []int{200, 201, 203, 206, 304, 400, 401, 403, 404, 429, 500, 503} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(set(okp(nil))))
		}))
		if keys, err := fetch(t, server.URL); (err == nil) != (status == 200) {
			t.Errorf("%d: %v, %v", status, keys, err)
		}
		server.Close()
	}
}

// A fetch ends with its context. Package refresh gives it two seconds; this test,
// less.
func TestHangEndsWithTheContext(t *testing.T) {
	for name, hang := range map[string]func(http.ResponseWriter){
		"before the answer": func(http.ResponseWriter) {},
		"in the midst":      func(w http.ResponseWriter) { _, _ = w.Write([]byte(`{"keys":`)); w.(http.Flusher).Flush() },
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				hang(w)
				<-r.Context().Done()
			}))
			defer server.Close()
			keys := open(server.URL)
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if keys, err := keys.Fetch(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v, %v", keys, err)
			}
		})
	}
}

func TestConnectionRefused(t *testing.T) {
	server := answer(t, "")
	server.Close()
	if keys, err := fetch(t, server.URL); err == nil {
		t.Errorf("keys: %v", keys)
	}
}

func TestURL(t *testing.T) {
	for url, good := range map[string]bool{
		GoogleURL:                        true,
		"https://keys.example":           true,
		"https://keys.example:8443/":     true,
		"http://127.0.0.1:8080/keys":     true,
		"http://127.1.2.3":               true,
		"http://[::1]:8080/":             true,
		"http://localhost/keys":          true,
		"http://keys.example":            false,
		"http://10.0.0.1/":               false,
		"http://169.254.169.254/":        false,
		"http://0.0.0.0/":                false,
		"http://127.0.0.1.example/":      false,
		"http://localhost.example/":      false,
		"http://localhost@evil.example/": false,
		"HTTP://keys.example":            false,
		"ftp://127.0.0.1/":               false,
		"file:///etc/passwd":             false,
		"//127.0.0.1/keys":               false,
		"127.0.0.1:8080":                 false,
		"keys.example":                   false,
		"https://":                       false,
		"https:///keys":                  false,
		"https:keys.example":             false,
		"http://127.0.0.1:port/":         false,
		"https://keys.example/%zz":       false,
		" https://keys.example":          false,
		"":                               false,
	} {
		if _, err := ParseURL(url); (err == nil) != good {
			t.Errorf("%q: %v, want good: %v", url, err, good)
		}
	}
}

func TestStaleIfErrorOfADay(t *testing.T) {
	if keys := open(GoogleURL); keys.StaleIfError != 24*time.Hour {
		t.Errorf("StaleIfError = %v", keys.StaleIfError)
	}
}

// A delivery is verified with keys fetched over HTTP.
func TestKeySetRoundTrip(t *testing.T) {
	sender := webhooktest.NewKeySet()
	server := httptest.NewServer(sender)
	defer server.Close()
	keys := open(server.URL)
	dynamic := &webhook.Dynamic{Keys: keys, Audiences: []string{"a"}}
	id, body, now := webhooktest.NewID(), webhooktest.NewEvent("batch.succeeded"), time.Now()
	verify := func(signature string) error {
		_, err := dynamic.Verify(t.Context(), webhooktest.Header(id, now, signature), body)
		return err
	}
	for i := range 3 {
		if err := verify(webhook.SignV1a(sender.Ed25519(i), id, webhooktest.Timestamp(now), body)); err != nil {
			t.Errorf("v1a, key %d: %v", i, err)
		}
	}
	token := must(webhook.SignJWT(sender.RSA(), webhooktest.RSAKeyID, webhooktest.Claims("a", now, body)))
	if err := verify(token); err != nil {
		t.Errorf("token: %v", err)
	}
	sender.Rotate()
	if err := verify(webhook.SignV1a(sender.Ed25519(0), id, webhooktest.Timestamp(now), body)); !errors.Is(err, webhook.ErrForged) {
		t.Errorf("a key that is not in memory yet: %v", err)
	}
	if n := sender.Fetches(); n != 1 {
		t.Errorf("%d fetches", n)
	}
}

// Errors contain the URL, for the log.
func TestErrorsNameTheURL(t *testing.T) {
	server := answer(t, "{}")
	_, err := fetch(t, server.URL)
	if err == nil || !strings.Contains(err.Error(), server.URL) {
		t.Errorf("%v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(set(okp(nil), rsaFields(nil), ec(nil))))
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AAAA"}]}`))
	f.Add([]byte(set(okp(fields{"alg": "Ed25519", "key_ops": []string{"verify"}}), okp(fields{"x": b64(make([]byte, 32))}))))
	f.Add([]byte(set(edKeys(17)...)))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := Parse(text)
		if (err == nil || errors.Is(err, refresh.ErrPartial)) != (len(keys) > 0) || len(keys) > 3*16 {
			t.Errorf("%d keys, %v", len(keys), err)
		}
		for _, key := range keys {
			verifyWith(key)
		}
	})
}
