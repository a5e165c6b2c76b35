package webhook_test

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// jwtDelivery is a delivery to be signed by a JWT.
type jwtDelivery struct {
	verifier webhook.Dynamic
	key      any                 // see signJWT
	header   map[string]any      // the JWT's header
	claims   map[string]any      // the JWT's claims, if payload is empty
	payload  string              // replaces claims
	text     func(string) string // changes the finished JWT
	body     []byte
}

// genuineJWT returns a delivery with a valid JWT, signed at the current time.
func genuineJWT() *jwtDelivery {
	return &jwtDelivery{
		verifier: webhook.Dynamic{
			Keys: ring[webhook.PublicKey]{
				publicKey("", edKey), publicKey("other", otherRSA()), publicKey("ec", ecKey()), publicKey("rsa", rsaKey()),
			},
			Audiences: []string{audience},
		},
		key:    rsaKey(),
		header: map[string]any{"alg": "RS256", "kid": "rsa", "typ": "JWT"},
		claims: webhooktest.Claims(audience, time.Now(), someBody),
		text:   func(jwt string) string { return jwt },
		body:   someBody,
	}
}

func (d *jwtDelivery) jwt() string {
	payload := d.payload
	if payload == "" {
		payload = string(must(json.Marshal(d.claims)))
	}
	return d.text(signJWT(d.key, string(must(json.Marshal(d.header))), payload))
}

func (d *jwtDelivery) verify(t testing.TB) (*webhook.Delivery, error) {
	return d.verifier.Verify(t.Context(), webhooktest.Header(someID, time.Now(), d.jwt()), d.body)
}

// A jwtRow makes one change to a genuine delivery.
type jwtRow struct {
	name   string
	change func(*jwtDelivery)
	want   error
}

func runJWTRows(t *testing.T, rows []jwtRow) {
	rsaKey() // generated outside of the bubbles, so that it does not move their clocks
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, err := genuineJWT().verify(t)
				wantRefusal(t, d, err, nil)
				changed := genuineJWT()
				row.change(changed)
				d, err = changed.verify(t)
				wantRefusal(t, d, err, row.want)
				if err == nil && d.Scheme != webhook.JWT {
					t.Errorf("scheme %q", d.Scheme)
				}
			})
		})
	}
}

func header(name string, value any) func(*jwtDelivery) {
	return func(d *jwtDelivery) { d.header[name] = value }
}

func claim(name string, value any) func(*jwtDelivery) {
	return func(d *jwtDelivery) { d.claims[name] = value }
}

// in sets a claim to a time relative to now.
func in(name string, ahead time.Duration) func(*jwtDelivery) {
	return func(d *jwtDelivery) { d.claims[name] = time.Now().Add(ahead).Unix() }
}

func without(names ...string) func(*jwtDelivery) {
	return func(d *jwtDelivery) {
		for _, name := range names {
			delete(d.claims, name)
		}
	}
}

func text(change func(jwt string) string) func(*jwtDelivery) {
	return func(d *jwtDelivery) { d.text = change }
}

func all(changes ...func(*jwtDelivery)) func(*jwtDelivery) {
	return func(d *jwtDelivery) {
		for _, change := range changes {
			change(d)
		}
	}
}

func TestJWTSignatures(t *testing.T) {
	public := must(x509.MarshalPKIXPublicKey(&rsaKey().PublicKey))
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	key := func(key any) func(*jwtDelivery) { return func(d *jwtDelivery) { d.key = key } }
	runJWTRows(t, []jwtRow{
		{"no kid", func(d *jwtDelivery) { delete(d.header, "kid") }, nil},
		{"empty kid", header("kid", ""), nil},
		{"no typ", func(d *jwtDelivery) { delete(d.header, "typ") }, nil},
		{"key without kid", all(key(edKey), header("alg", "EdDSA"), header("kid", "x")), nil},
		{"EdDSA by the name of RFC 9864", all(key(edKey), header("alg", "Ed25519"), header("kid", "x")), nil},
		{"Ed25519 by an RSA key", all(header("alg", "Ed25519"), header("kid", "")), webhook.ErrForged},
		{"Ed25519, key not in the key set", all(key(newEdKey('x')), header("alg", "Ed25519"), header("kid", "")), webhook.ErrForged},
		{"Ed448", all(key(edKey), header("alg", "Ed448"), header("kid", "")), webhook.ErrForged},
		{"ES256", all(key(ecKey()), header("alg", "ES256"), header("kid", "ec")), nil},

		{"unknown kid", header("kid", "unknown"), webhook.ErrForged},
		{"kid of another key of the kind", header("kid", "other"), webhook.ErrForged},
		{"kid of another kind", header("kid", "ec"), webhook.ErrForged},
		{"kid no text", header("kid", 7), webhook.ErrForged},
		{"key not in the key set", key(newRSAKey()), webhook.ErrForged},
		{"key not in the key set, EdDSA", all(key(newEdKey('x')), header("alg", "EdDSA")), webhook.ErrForged},
		{"key not in the key set, ES256", all(key(must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))), header("alg", "ES256"), header("kid", "ec")), webhook.ErrForged},

		{"alg none, no signature", all(header("alg", "none"), key(nil)), webhook.ErrForged},
		{"alg none, signature", header("alg", "none"), webhook.ErrForged},
		{"alg nOnE", all(header("alg", "nOnE"), key(nil)), webhook.ErrForged},
		{"alg RS256, no signature", key(nil), webhook.ErrForged},
		{"alg empty", header("alg", ""), webhook.ErrForged},
		{"alg missing", func(d *jwtDelivery) { delete(d.header, "alg") }, webhook.ErrForged},
		{"alg no text", header("alg", 256), webhook.ErrForged},
		{"alg null", header("alg", nil), webhook.ErrForged},
		{"alg lower case", header("alg", "rs256"), webhook.ErrForged},
		{"HS256 with the public key, PEM", all(header("alg", "HS256"), key(publicPEM)), webhook.ErrForged},
		{"HS256 with the public key, DER", all(header("alg", "HS256"), key(public)), webhook.ErrForged},
		{"HS256 with the modulus", all(header("alg", "HS256"), key(rsaKey().N.Bytes())), webhook.ErrForged},
		{"RS256 with an HMAC", key(publicPEM), webhook.ErrForged},
		{"RS512", all(header("alg", "RS512"), text(signAgain(crypto.SHA512, nil))), webhook.ErrForged},
		{"RS256 with SHA-512", text(signAgain(crypto.SHA512, nil)), webhook.ErrForged},
		{"PS256", all(header("alg", "PS256"), text(signAgain(crypto.SHA256, &rsa.PSSOptions{}))), webhook.ErrForged},
		{"RS256 with PSS", text(signAgain(crypto.SHA256, &rsa.PSSOptions{})), webhook.ErrForged},
		{"RS256 by an Ed25519 key", all(key(edKey), header("kid", "")), webhook.ErrForged},
		{"EdDSA by an RSA key", all(header("alg", "EdDSA"), header("kid", "")), webhook.ErrForged},
		{"ES256 by an RSA key", all(header("alg", "ES256"), header("kid", "")), webhook.ErrForged},
		{"RS256 by a P-256 key", all(key(ecKey()), header("kid", "")), webhook.ErrForged},
		{"ES256 in DER", all(key(ecKey()), header("alg", "ES256"), header("kid", "ec"), text(func(jwt string) string {
			signed := jwt[:strings.LastIndex(jwt, ".")]
			digest := sha256.Sum256([]byte(signed))
			return signed + "." + raw64(must(ecdsa.SignASN1(rand.Reader, ecKey(), digest[:])))
		})), webhook.ErrForged},
		{"ES256 all zero", all(header("alg", "ES256"), header("kid", "ec"), text(lastPart(raw64(make([]byte, 64))))), webhook.ErrForged},
		{"ES256 too short", all(header("alg", "ES256"), header("kid", "ec"), text(lastPart(raw64(make([]byte, 63))))), webhook.ErrForged},
		{"EdDSA too short", all(header("alg", "EdDSA"), text(lastPart(raw64(make([]byte, 63))))), webhook.ErrForged},
		{"RS256 too long", text(func(jwt string) string { return jwt + "AAAA" }), webhook.ErrForged},
		{"signature changed", text(corrupt), webhook.ErrForged},
		{"no signature", text(lastPart("")), webhook.ErrForged},

		{"crit", header("crit", []string{"exp"}), webhook.ErrForged},
		{"crit empty", header("crit", []string{}), webhook.ErrForged},
		{"crit null", header("crit", nil), webhook.ErrForged},
		{"b64 false", all(header("b64", false), header("crit", []string{"b64"})), webhook.ErrForged},
		{"header no object", text(func(jwt string) string { return raw64([]byte(`"RS256"`)) + jwt[strings.Index(jwt, "."):] }), webhook.ErrForged},
		{"header no JSON", text(func(jwt string) string { return raw64([]byte(`{"alg":"RS256"`)) + jwt[strings.Index(jwt, "."):] }), webhook.ErrForged},
	})
}

// signAgain replaces the signature of a JWT by a new one of the same key.
func signAgain(hash crypto.Hash, pss *rsa.PSSOptions) func(string) string {
	return func(jwt string) string {
		signed := jwt[:strings.LastIndex(jwt, ".")]
		h := hash.New()
		h.Write([]byte(signed))
		var options crypto.SignerOpts = hash
		if pss != nil {
			pss.Hash = hash
			options = pss
		}
		return signed + "." + raw64(must(rsaKey().Sign(rand.Reader, h.Sum(nil), options)))
	}
}

var _ = sha512.New // registers SHA-512 for RS512

func raw64(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

func lastPart(part string) func(string) string {
	return func(jwt string) string { return jwt[:strings.LastIndex(jwt, ".")+1] + part }
}

// Keys in the JWT itself are neither used nor fetched.
func TestKeysInAJWTAreIgnored(t *testing.T) {
	var fetched atomic.Bool
	attacker := newRSAKey()
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { fetched.Store(true) }))
	defer server.Close()
	jwk := map[string]any{
		"kty": "RSA", "kid": "rsa", "alg": "RS256", "e": "AQAB", "n": raw64(attacker.N.Bytes()),
	}
	for name, bring := range map[string]map[string]any{
		"jwk": {"jwk": jwk},
		"jku": {"jku": server.URL},
		"x5u": {"x5u": server.URL},
		"x5c": {"x5c": []string{b64(must(x509.MarshalPKIXPublicKey(&attacker.PublicKey)))}},
		"kid": {"kid": server.URL},
	} {
		t.Run(name, func(t *testing.T) {
			genuine := genuineJWT()
			maps.Copy(genuine.header, bring)
			if name != "kid" { // with a genuine signature they are ignored
				d, err := genuine.verify(t)
				wantRefusal(t, d, err, nil)
			}
			genuine.key = attacker
			d, err := genuine.verify(t)
			wantRefusal(t, d, err, webhook.ErrForged)
			if fetched.Load() {
				t.Error("a URL in a JWT was fetched")
			}
		})
	}
}

func TestJWTForm(t *testing.T) {
	parts := func(change func(parts []string) []string) func(*jwtDelivery) {
		return text(func(jwt string) string { return strings.Join(change(strings.Split(jwt, ".")), ".") })
	}
	runJWTRows(t, []jwtRow{
		{"two parts", parts(func(p []string) []string { return p[:2] }), webhook.ErrForged},
		{"four parts", parts(func(p []string) []string { return append(p, p[2]) }), webhook.ErrForged},
		{"five parts, as encrypted ones", parts(func(p []string) []string { return append(p, p[1], p[2]) }), webhook.ErrForged},
		{"header empty", parts(func(p []string) []string { return []string{"", p[1], p[2]} }), webhook.ErrForged},
		{"payload empty, detached", parts(func(p []string) []string { return []string{p[0], "", p[2]} }), webhook.ErrForged},
		{"all empty", text(func(string) string { return ".." }), webhook.ErrForged},
		{"padded", text(func(jwt string) string { return jwt + "==" }), webhook.ErrForged},
		{"standard alphabet", text(func(jwt string) string {
			return strings.NewReplacer("-", "+", "_", "/").Replace(jwt)
		}), webhook.ErrForged},
		{"not base64", parts(func(p []string) []string { return []string{p[0], p[1], "*" + p[2][1:]} }), webhook.ErrForged},
		{"other trailing bits", text(func(jwt string) string {
			return jwt[:len(jwt)-1] + otherTrailingBits("A" + jwt[len(jwt)-1:] + "==")[1:2] // 256 bytes leave four bits over
		}), webhook.ErrForged},
		{"quoted", text(func(jwt string) string { return `"` + jwt + `"` }), webhook.ErrForged},
		{"Bearer", text(func(jwt string) string { return "Bearer " + jwt }), webhook.ErrForged},
		{"in JSON", text(func(jwt string) string {
			p := strings.Split(jwt, ".")
			return `{"protected":"` + p[0] + `","payload":"` + p[1] + `","signature":"` + p[2] + `"}`
		}), webhook.ErrForged},
		{"payload no JSON", func(d *jwtDelivery) { d.payload = "hello" }, webhook.ErrForged},
		{"payload a list", func(d *jwtDelivery) { d.payload = "[]" }, webhook.ErrForged},
		{"payload null", func(d *jwtDelivery) { d.payload = "null" }, webhook.ErrForged},
		{"payload deep", func(d *jwtDelivery) { d.payload = strings.Repeat("[", 11_000) }, webhook.ErrForged},
		{"payload of another JWT", parts(func(p []string) []string {
			return []string{p[0], strings.Split(signJWT(nil, `{}`, `{"aud":"x"}`), ".")[1], p[2]}
		}), webhook.ErrForged},
	})
}

// The maximum size of a JWT is 16 KiB. A longer one is malformed, not forged.
func TestJWTSize(t *testing.T) {
	const limit = 16 << 10
	longest := 0
	for pad := limit*3/4 - 1500; longest == 0; pad++ {
		d := genuineJWT()
		d.key, d.header = edKey, map[string]any{"alg": "EdDSA"}
		d.claims["pad"] = strings.Repeat("x", pad)
		size := len(d.jwt())
		delivery, err := d.verify(t)
		switch {
		case size <= limit:
			wantRefusal(t, delivery, err, nil)
		default:
			wantRefusal(t, delivery, err, webhook.ErrMalformed)
			longest = size
		}
		if t.Failed() {
			t.Fatalf("at %d bytes", size)
		}
		if size < limit-100 {
			pad += 50
		}
	}
}

func TestJWTClaims(t *testing.T) {
	audiences := func(ours ...string) func(*jwtDelivery) {
		return func(d *jwtDelivery) { d.verifier.Audiences = ours }
	}
	tolerance := func(tolerance time.Duration) func(*jwtDelivery) {
		return func(d *jwtDelivery) { d.verifier.Tolerance = tolerance }
	}
	const second, minute, hour = time.Second, time.Minute, time.Hour
	runJWTRows(t, []jwtRow{
		{"aud wrong", claim("aud", "https://another.example/"), webhook.ErrAudience},
		{"aud a part of ours", claim("aud", audience[:len(audience)-1]), webhook.ErrAudience},
		{"aud longer than ours", claim("aud", audience+"/"), webhook.ErrAudience},
		{"aud upper case", claim("aud", strings.ToUpper(audience)), webhook.ErrAudience},
		{"aud missing", without("aud"), webhook.ErrAudience},
		{"aud null", claim("aud", nil), webhook.ErrAudience},
		{"aud empty", claim("aud", ""), webhook.ErrAudience},
		{"aud empty list", claim("aud", []string{}), webhook.ErrAudience},
		{"aud list without ours", claim("aud", []string{"a", "b"}), webhook.ErrAudience},
		{"aud list with ours", claim("aud", []string{"a", audience}), nil},
		{"aud list of ours alone", claim("aud", []string{audience}), nil},
		{"aud a number", claim("aud", 5), webhook.ErrForged},
		{"aud an object", claim("aud", map[string]any{"aud": audience}), webhook.ErrForged},
		{"aud list with a number", claim("aud", []any{audience, 5}), webhook.ErrForged},
		{"aud with a query", claim("aud", audience+"?token=secret"), nil},
		{"aud with an empty query", claim("aud", audience+"?"), nil},
		{"ours with a query", audiences(audience + "?token=secret"), nil},
		{"both with queries", all(claim("aud", audience+"?a=b"), audiences(audience+"?c=d")), nil},
		{"aud wrong before the query", claim("aud", "https://another.example/?"+audience), webhook.ErrAudience},
		{"aud with a fragment", claim("aud", audience+"#x"), webhook.ErrAudience},
		{"second of ours", audiences("a", audience), nil},
		{"ours others", audiences("a", "b"), webhook.ErrAudience},
		{"none configured", audiences(), webhook.ErrAudience},
		{"none configured, aud empty", all(audiences(), claim("aud", "")), webhook.ErrAudience},
		{"none configured, no aud", all(audiences(), without("aud")), webhook.ErrAudience},
		{"none configured, forged", all(audiences(), text(corrupt)), webhook.ErrForged},
		{"aud wrong, forged", all(claim("aud", "x"), text(corrupt)), webhook.ErrForged},
		{"aud wrong, expired", all(claim("aud", "x"), in("exp", -hour)), webhook.ErrAudience},

		{"exp missing", without("exp"), webhook.ErrForged},
		{"exp null", claim("exp", nil), webhook.ErrForged},
		{"exp a string", claim("exp", "946685100"), webhook.ErrForged},
		{"exp true", claim("exp", true), webhook.ErrForged},
		{"exp a list", claim("exp", []int{946685100}), webhook.ErrForged},
		{"exp in a year", in("exp", 365*24*hour), webhook.ErrStale},
		{"exp in an hour", in("exp", hour), nil},
		{"exp in an hour and the tolerance", in("exp", hour+5*minute), nil},
		{"exp in an hour, the tolerance and a second", in("exp", hour+5*minute+second), webhook.ErrStale},
		{"exp in an hour and the tolerance of a minute", all(in("exp", hour+minute), tolerance(minute)), nil},
		{"exp in an hour, the tolerance of a minute and a second", all(in("exp", hour+minute+second), tolerance(minute)), webhook.ErrStale},
		{"exp in milliseconds", claim("exp", 946685100_000), webhook.ErrStale},
		{"exp beyond all clocks", claim("exp", 1e300), webhook.ErrStale},
		{"exp where int64 overflows", claim("exp", 18446744074656236416.0), webhook.ErrStale},
		{"exp where a Duration overflows", claim("exp", 10170056837), webhook.ErrStale},
		{"exp beyond float64", func(d *jwtDelivery) {
			d.payload = strings.Replace(string(must(json.Marshal(d.claims))), `"exp":`, `"exp":1e999,"_":`, 1)
		}, webhook.ErrForged},
		{"exp a fraction", claim("exp", 946684860.5), nil},
		{"exp zero", claim("exp", 0), webhook.ErrStale},
		{"exp negative", claim("exp", -946684800), webhook.ErrStale},
		{"exp passed within the tolerance", in("exp", -5*minute+second), nil},
		{"exp passed by the tolerance", in("exp", -5*minute), webhook.ErrStale},
		{"exp passed by a fraction more", claim("exp", 946684500.5), nil},
		{"exp passed, tolerance a minute", all(in("exp", -minute), tolerance(minute)), webhook.ErrStale},
		{"exp passed, tolerance an hour", all(in("exp", -59*minute), tolerance(hour)), nil},

		{"iat missing", without("iat"), nil},
		{"iat 5 minutes ahead", in("iat", 5*minute), nil},
		{"iat 5 minutes and a second ahead", in("iat", 5*minute+second), webhook.ErrStale},
		{"iat 5 minutes ago", in("iat", -5*minute), nil},
		{"iat 5 minutes and a second ago", in("iat", -5*minute-second), webhook.ErrStale},
		{"iat ahead, tolerance an hour", all(in("iat", hour), tolerance(hour)), nil},
		{"iat a string", claim("iat", "946684800"), webhook.ErrForged},

		{"nbf now", in("nbf", 0), nil},
		{"nbf long ago", in("nbf", -24*hour), nil},
		{"nbf 5 minutes ahead", in("nbf", 5*minute), nil},
		{"nbf 5 minutes and a second ahead", in("nbf", 5*minute+second), webhook.ErrStale},
		{"nbf a string", claim("nbf", "946684800"), webhook.ErrForged},
	})
}

// The sender's clock may differ by up to the tolerance, in either direction: then
// every JWT that is valid for up to an hour is accepted. Beyond the tolerance JWTs
// are stale, not forged.
func TestSendersClock(t *testing.T) {
	for _, tolerance := range []time.Duration{0, time.Minute, time.Hour} {
		edge := cmp.Or(tolerance, 5*time.Minute)
		for _, times := range [][]string{{"exp"}, {"iat", "exp"}, {"nbf", "exp"}, {"iat", "nbf", "exp"}} {
			for _, off := range []time.Duration{
				-3 * time.Hour, -edge - time.Second, -edge, -time.Minute, 0, time.Minute, edge, edge + time.Second, 3 * time.Hour,
			} {
				clock := func(d *jwtDelivery) {
					d.verifier.Tolerance = tolerance
					delete(d.claims, "iat")
					for _, name := range times {
						in(name, off)(d)
					}
					in("exp", off+time.Hour)(d)
				}
				want := webhook.ErrStale
				if off.Abs() <= edge || off < 0 && off > -time.Hour-edge && times[0] != "iat" {
					want = nil
				}
				runJWTRows(t, []jwtRow{{fmt.Sprint(tolerance, times, off), clock, want}})
			}
		}
	}
}

// An exp too far ahead means that the JWT's lifetime is too long, if its iat is good.
// Without an iat, the sender's clock may be wrong instead.
func TestExpTooFarAhead(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*jwtDelivery)
		want   string
	}{
		"iat good":    {in("exp", 2*time.Hour), "exp is 2h0m0s ahead of our clock, more than the maximum of 1h5m0s: the token lives too long"},
		"iat missing": {all(in("exp", 2*time.Hour), without("iat")), "lives too long, or its sender's clock is ahead"},
		"iat ahead":   {all(in("exp", 2*time.Hour), in("iat", time.Hour)), "iat is 1h0m0s ahead of our clock"},
		"nbf ahead":   {all(in("exp", 2*time.Hour), in("nbf", time.Hour)), "nbf is 1h0m0s ahead of our clock"},
		"expired":     {in("exp", -time.Hour), "expired 1h0m0s ago by our clock"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := genuineJWT()
				test.change(d)
				if _, err := d.verify(t); !errors.Is(err, webhook.ErrStale) || !strings.HasSuffix(err.Error(), test.want) {
					t.Errorf("%v; want %s", err, test.want)
				}
			})
		})
	}
}

// Times outside the range of time.Time are compared with the clock without an
// overflow.
func TestJWTAbsurdTimes(t *testing.T) {
	runJWTRows(t, []jwtRow{
		{"iat beyond all clocks", claim("iat", 1e300), webhook.ErrStale},
		{"iat before all clocks", claim("iat", -1e300), webhook.ErrStale},
		{"nbf beyond all clocks", claim("nbf", 1e300), webhook.ErrStale},
		{"nbf before all clocks", claim("nbf", -1e300), nil},
		{"exp before all clocks", claim("exp", -1e300), webhook.ErrStale},
	})
}

func TestJWTEvent(t *testing.T) {
	body := func(text string) func(*jwtDelivery) {
		return func(d *jwtDelivery) { d.body = []byte(text) }
	}
	event := func(claims, text string) func(*jwtDelivery) {
		return func(d *jwtDelivery) {
			without("type", "data", "timestamp", "version")(d)
			var more map[string]any
			dec := json.NewDecoder(strings.NewReader(claims))
			dec.UseNumber()
			if err := dec.Decode(&more); err != nil {
				panic(err)
			}
			maps.Copy(d.claims, more)
			d.body = []byte(text)
		}
	}
	unbound := func(d *jwtDelivery) { d.verifier.JWTWithoutEvent = true }
	none := without("type", "data")
	const data = `"data":{"id":"1"}`
	rows := []jwtRow{
		{"body re-encoded", func(d *jwtDelivery) { d.body = reencode(d.body) }, nil},
		{"body with more", event(`{"type":"t",`+data+`}`, `{"version":"v1","type":"t",`+data+`,"user_metadata":{"a":"b"}}`), nil},
		{"names in another order", event(`{"type":"t","data":{"id":"1","x":2}}`, `{"data":{"x":2,"id":"1"},"type":"t"}`), nil},
		{"escapes", event(`{"type":"t",`+data+`}`, `{"\u0074ype":"\u0074","data":{"id":"\u0031"}}`), nil},
		{"large numbers", event(`{"type":"t","data":[12345678901234567891]}`, `{"type":"t","data":[12345678901234567891]}`), nil},
		{"data of any kind", event(`{"type":"t","data":[1,"a",null,true,{}]}`, `{"type":"t","data":[1,"a",null,true,{}]}`), nil},

		{"another type", claim("type", "batch.failed"), webhook.ErrForged},
		{"another id", claim("data", map[string]any{"id": "batches/654321"}), webhook.ErrForged},
		{"less data", event(`{"type":"t","data":{}}`, `{"type":"t",`+data+`}`), webhook.ErrForged},
		{"more data", event(`{"type":"t",`+data+`}`, `{"type":"t","data":{"id":"1","x":2}}`), webhook.ErrForged},
		{"body without data", event(`{"type":"t",`+data+`}`, `{"type":"t"}`), webhook.ErrForged},
		{"body without type", event(`{"type":"t",`+data+`}`, `{`+data+`}`), webhook.ErrForged},
		{"body's data null", event(`{"type":"t",`+data+`}`, `{"type":"t","data":null}`), webhook.ErrForged},
		{"text for number", event(`{"type":"t","data":{"id":1}}`, `{"type":"t",`+data+`}`), webhook.ErrForged},
		{"a number apart by what float64 loses", event(`{"type":"t","data":[12345678901234567891]}`, `{"type":"t","data":[12345678901234567890]}`), webhook.ErrForged},
		{"list for object", event(`{"type":"t","data":{}}`, `{"type":"t","data":[]}`), webhook.ErrForged},
		{"type no text", event(`{"type":"t",`+data+`}`, `{"type":["t"],`+data+`}`), webhook.ErrForged},
		{"claims' type no text", claim("type", 5), webhook.ErrForged},
		{"another time", event(`{"type":"t",`+data+`,"timestamp":"a"}`, `{"type":"t",`+data+`,"timestamp":"b"}`), webhook.ErrForged},
		{"another time, under another name", event(`{"type":"t",`+data+`,"timestamp":"a"}`, `{"type":"t",`+data+`,"Timestamp":"b"}`), webhook.ErrForged},
		{"the same time, under another name", event(`{"type":"t",`+data+`,"timestamp":"a"}`, `{"type":"t",`+data+`,"Timestamp":"a"}`), webhook.ErrForged},
		{"other metadata", event(`{"type":"t",`+data+`,"user_metadata":{"g":"mine"}}`, `{"type":"t",`+data+`,"user_metadata":{"g":"theirs"}}`), webhook.ErrForged},
		{"the same metadata", event(`{"type":"t",`+data+`,"user_metadata":{"g":"mine","h":1.0}}`, `{"type":"t",`+data+`,"user_metadata":{"h":1.0,"g":"mine"}}`), nil},
		{"less than the JWT", event(`{"type":"t",`+data+`,"version":"v1"}`, `{"type":"t",`+data+`}`), nil},
		{"half a surrogate pair", event(`{"type":"t","data":"\ud800"}`, `{"type":"t","data":"\udfff"}`), webhook.ErrForged},
		{"type in upper case", event(`{"type":"t",`+data+`}`, `{"type":"T",`+data+`}`), webhook.ErrForged},

		{"empty body", body(""), webhook.ErrForged},
		{"body no JSON", body("hello"), webhook.ErrForged},
		{"body cut", body(string(someBody[:len(someBody)-1])), webhook.ErrForged},
		{"body with more behind", body(string(someBody) + "x"), webhook.ErrForged},
		{"body twice", body(string(someBody) + string(someBody)), webhook.ErrForged},
		{"body a list", body("[" + string(someBody) + "]"), webhook.ErrForged},
		{"body null", body("null"), webhook.ErrForged},
		{"type twice", event(`{"type":"t",`+data+`}`, `{"type":"x","type":"t",`+data+`}`), webhook.ErrForged},
		{"type twice, genuine first", event(`{"type":"t",`+data+`}`, `{"type":"t","type":"x",`+data+`}`), webhook.ErrForged},
		{"type twice, one escaped", event(`{"type":"t",`+data+`}`, `{"type":"t","\u0074ype":"x",`+data+`}`), webhook.ErrForged},
		{"data twice", event(`{"type":"t",`+data+`}`, `{"type":"t","data":{"id":"2"},`+data+`}`), webhook.ErrForged},
		{"id twice", event(`{"type":"t",`+data+`}`, `{"type":"t","data":{"id":"2","id":"1"}}`), webhook.ErrForged},
		{"a name twice elsewhere", event(`{"type":"t",`+data+`}`, `{"type":"t",`+data+`,"x":[{"a":1,"a":2}]}`), webhook.ErrForged},
		// Many JSON parsers, encoding/json included, treat these names as equal.
		{"Type beside type", event(`{"type":"t",`+data+`}`, `{"type":"t",`+data+`,"Type":"x"}`), webhook.ErrForged},
		{"DATA beside data", event(`{"type":"t",`+data+`}`, `{"type":"t",`+data+`,"DATA":{"id":"2"}}`), webhook.ErrForged},
		{"A beside a", event(`{"type":"t",`+data+`}`, `{"type":"t",`+data+`,"a":1,"A":1}`), webhook.ErrForged},
		{"Z beside z", event(`{"type":"t",`+data+`}`, `{"type":"t",`+data+`,"z":1,"Z":1}`), webhook.ErrForged},
		{"long s", event(`{"type":"t","data":{"s":"1"}}`, `{"type":"t","data":{"s":"1"},"\u017f":1,"S":1}`), webhook.ErrForged},
		{"Kelvin", event(`{"type":"t",`+data+`}`, `{"type":"t",`+data+`,"k":1,"\u212a":2}`), webhook.ErrForged},
		{"byte order mark", event(`{"type":"t",`+data+`}`, "\ufeff"+`{"type":"t",`+data+`}`), nil},
		{"two byte order marks", event(`{"type":"t",`+data+`}`, "\ufeff\ufeff"+`{"type":"t",`+data+`}`), webhook.ErrForged},
		{"byte order mark, another type", event(`{"type":"t",`+data+`}`, "\ufeff"+`{"type":"x",`+data+`}`), webhook.ErrForged},
		{"5,000 levels", event(`{"type":"t","data":`+nested(5_000)+`}`, `{"type":"t","data":`+nested(5_000)+`}`), nil},
		{"objects in lists", event(`{"type":"t","data":[{"a":1},[{"a":{"a":2}}]]}`, `{"type":"t","data":[{"a":1},[{"a":{"a":2}}]]}`), nil},
		{"a level less in data", event(`{"type":"t","data":`+nested(50)+`}`, `{"type":"t","data":`+nested(49)+`}`), webhook.ErrForged},
		{"colons, quotes and braces in texts", event(`{"type":"t","data":{"id":":\"{:\\"}}`, `{"type":"t","data":{"id":":\"{:\\"},":\":\\":":","}":[":",":"]}`), nil},
		{"a megabyte of brackets", body(strings.Repeat("[", 1<<20)), webhook.ErrForged},
		{"a megabyte of braces", body(strings.Repeat(`{"a":`, 200_000)), webhook.ErrForged},
		{"deep beside the event", event(`{"type":"t",`+data+`}`, `{"type":"t",`+data+`,"x":`+nested(100_000)+`}`), webhook.ErrForged},
		{"not UTF-8", event(`{"type":"t",`+data+`}`, `{"type":"t",`+data+`,"x":"`+"\xff"+`"}`), webhook.ErrForged},
		{"bad escape", event(`{"type":"t",`+data+`}`, `{"type":"t",`+data+`,"x":"\x"}`), webhook.ErrForged},
		{"comma behind the last", event(`{"type":"t",`+data+`}`, `{"type":"t",`+data+`,}`), webhook.ErrForged},
		{"comma behind the last of a list", event(`{"type":"t",`+data+`}`, `{"type":"t",`+data+`,"x":[1,]}`), webhook.ErrForged},
		{"wrong closing", event(`{"type":"t",`+data+`}`, `{"type":"t",`+data+`,"x":[1}]`), webhook.ErrForged},
		{"name no text", event(`{"type":"t",`+data+`}`, `{"type":"t",`+data+`,1:2}`), webhook.ErrForged},

		{"no event", none, webhook.ErrForged},
		{"type without data", without("data"), webhook.ErrForged},
		{"data without type", without("type"), webhook.ErrForged},
		{"type null", claim("type", nil), webhook.ErrForged},
		{"data null", claim("data", nil), webhook.ErrForged},
		{"data null, in the body too", event(`{"type":"t","data":null}`, `{"type":"t","data":null}`), webhook.ErrForged},
		{"unbound allowed, no event", all(none, unbound), nil},
		{"unbound allowed, no event, body no JSON", all(none, unbound, body("hello")), nil},
		{"unbound allowed, no event, no body", all(none, unbound, body("")), nil},
		{"unbound allowed, event agrees", unbound, nil},
		{"unbound allowed, another type", all(unbound, claim("type", "batch.failed")), webhook.ErrForged},
		{"unbound allowed, another id", all(unbound, claim("data", map[string]any{"id": "x"})), webhook.ErrForged},
		{"unbound allowed, type alone agrees", all(unbound, without("data")), nil},
		{"unbound allowed, type alone disagrees", all(unbound, without("data"), claim("type", "x")), webhook.ErrForged},
		{"unbound allowed, data alone agrees", all(unbound, without("type")), nil},
		{"unbound allowed, data alone disagrees", all(unbound, without("type"), claim("data", 1)), webhook.ErrForged},
		{"unbound allowed, type alone, body no JSON", all(unbound, without("data"), body("hello")), webhook.ErrForged},
		{"unbound allowed, forged", all(none, unbound, text(corrupt)), webhook.ErrForged},
		{"unbound allowed, aud wrong", all(none, unbound, claim("aud", "x")), webhook.ErrAudience},
		{"unbound allowed, expired", all(none, unbound, in("exp", -time.Hour)), webhook.ErrStale},
		{"unbound allowed, no exp", all(none, unbound, without("exp")), webhook.ErrForged},
	}
	runJWTRows(t, rows)
}

// The refusal of an unknown audience contains the audience received, because it is
// needed to configure the right one. It is quoted, truncated and without queries,
// which may contain URL tokens.
func TestAudienceRefusalNamesTheAudience(t *testing.T) {
	long := strings.Repeat("x", 300)
	for name, test := range map[string]struct {
		aud  any
		want string
	}{
		"one":          {"https://a.example/hook", `"https://a.example/hook"`},
		"query":        {"https://a.example/?token=canary&x=?canary", `"https://a.example/"`},
		"list":         {[]string{"a?canary", "b", "c?canary#canary"}, `"a, b, c"`},
		"control":      {"a\x1b[31m\n\x00", `"a\x1b[31m\n\x00"`},
		"no ASCII":     {"ä\u202e", `"ä\u202e"`},
		"quote":        {`a" level="INFO`, `"a\" level=\"INFO"`},
		"256 bytes":    {long[:256], `"` + long[:256] + `"`},
		"over":         {long, `"` + long[:256] + `"…`},
		"long query":   {"a?" + long, `"a"`},
		"long list":    {slices.Repeat([]string{"abc"}, 1000), `"` + strings.Repeat("abc, ", 100)[:256] + `"…`},
		"mid-rune":     {long[:255] + "ä", `"` + long[:255] + `\xc3"…`},
		"empty":        {"", `""`},
		"empty list":   {[]string{}, `""`},
		"only a query": {"?token=canary", `""`},
	} {
		for kind, ours := range map[string][]string{"others": {audience}, "none": nil} {
			t.Run(name+", "+kind, func(t *testing.T) {
				d := genuineJWT()
				d.claims["aud"], d.verifier.Audiences = test.aud, ours
				_, err := d.verify(t)
				if !errors.Is(err, webhook.ErrAudience) || !strings.HasSuffix(err.Error(), ": aud is "+test.want) || strings.Contains(err.Error(), "canary") {
					t.Errorf("%v; want aud is %s", err, test.want)
				}
			})
		}
	}
}

// If no audience is configured, the refusal names that cause, rather than a wrong
// audience.
func TestNoAudience(t *testing.T) {
	d := genuineJWT()
	d.verifier.Audiences = nil
	if _, err := d.verify(t); !errors.Is(err, webhook.ErrAudience) || !strings.Contains(err.Error(), "no audience is configured") {
		t.Errorf("%v", err)
	}
}

// nested returns a JSON list with that many levels.
func nested(levels int) string {
	return strings.Repeat("[", levels) + strings.Repeat("]", levels)
}

// Event is parsed from the same members that the JWT bound to the body.
func TestEventIsTheBoundOne(t *testing.T) {
	d := genuineJWT()
	delivery, err := d.verify(t)
	if err != nil {
		t.Fatal(err)
	}
	if e := delivery.Event; e.Type != d.claims["type"] || e.JobID != d.claims["data"].(map[string]any)["id"] {
		t.Errorf("Event() = %+v", e)
	}
}
