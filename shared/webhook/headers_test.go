package webhook_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// Each delivery is correctly signed, so only its id can be the cause of a refusal.
func TestIDs(t *testing.T) {
	for name, test := range map[string]struct {
		id   string
		want error
	}{
		"as live ones":          {someID, nil},
		"one character":         {"a", nil},
		"256 characters":        {strings.Repeat("a", 256), nil},
		"dots, slashes":         {"a/b/../c", webhook.ErrMalformed},
		"slash":                 {"a/b//c/", nil},
		"space":                 {" a b ", nil},
		"all printable":         {"!\"#$%&'()*+,-/0123456789:;<=>?@[\\]^_`{|}~", nil},
		"empty":                 {"", webhook.ErrMalformed},
		"257 characters":        {strings.Repeat("a", 257), webhook.ErrMalformed},
		"10,000 characters":     {strings.Repeat("a", 10_000), webhook.ErrMalformed},
		"dot":                   {"a.b", webhook.ErrMalformed},
		"only a dot":            {".", webhook.ErrMalformed},
		"tab":                   {"a\tb", webhook.ErrMalformed},
		"newline":               {"a\n", webhook.ErrMalformed},
		"NUL":                   {"a\x00", webhook.ErrMalformed},
		"last control":          {"a\x1f", webhook.ErrMalformed},
		"DEL":                   {"a\x7f", webhook.ErrMalformed},
		"UTF-8 beyond ASCII":    {"ä", webhook.ErrMalformed},
		"not UTF-8":             {"a\xff", webhook.ErrMalformed},
		"no-break space, UTF-8": {"a\u00a0", webhook.ErrMalformed},
	} {
		for _, s := range sides(t) {
			t.Run(name+" "+string(s.scheme), func(t *testing.T) {
				now := time.Now()
				h := webhooktest.Header(test.id, now, s.sign(test.id, webhooktest.Timestamp(now), someBody))
				d, err := s.verifier.Verify(t.Context(), h, someBody)
				wantRefusal(t, d, err, test.want)
				if id, err := webhook.ID(h); (err == nil) != (test.want == nil) || err == nil && id != test.id {
					t.Errorf("ID: %q, %v", id, err)
				}
			})
		}
	}
}

// Each delivery is correctly signed. The bubble's clock starts at 946684800,
// 2000-01-01.
func TestTimestamps(t *testing.T) {
	for text, want := range map[string]error{
		"946684800":    nil,
		"946684500":    nil, // exactly five minutes
		"946684499":    webhook.ErrStale,
		"946685100":    nil,
		"946685101":    webhook.ErrStale,
		"1":            webhook.ErrStale,
		"99999999999":  webhook.ErrStale,
		"":             webhook.ErrMalformed,
		"0":            webhook.ErrMalformed,
		"-1":           webhook.ErrMalformed,
		"-946684800":   webhook.ErrMalformed,
		"+946684800":   webhook.ErrMalformed,
		"0946684800":   webhook.ErrMalformed,
		" 946684800":   webhook.ErrMalformed,
		"946684800 ":   webhook.ErrMalformed,
		"946684800\n":  webhook.ErrMalformed,
		"946 684 800":  webhook.ErrMalformed,
		"946_684_800":  webhook.ErrMalformed,
		"946684800.0":  webhook.ErrMalformed,
		"9.466848e8":   webhook.ErrMalformed,
		"0x386d4380":   webhook.ErrMalformed,
		"９４６６８４８００":    webhook.ErrMalformed,
		"٩٤٦٦٨٤٨٠٠":    webhook.ErrMalformed,
		"100000000000": webhook.ErrMalformed, // twelve digits
		// 2^64 + 946684800: equal to the clock's time if it overflows
		"18446744074656236416":               webhook.ErrMalformed,
		"9223372036854775807":                webhook.ErrMalformed,
		strings.Repeat("9", 10_000):          webhook.ErrMalformed,
		"2000-01-01T00:00:00Z":               webhook.ErrMalformed,
		"946684800, 946684800":               webhook.ErrMalformed,
		strings.Repeat("0", 2) + "946684800": webhook.ErrMalformed,
	} {
		for _, s := range sides(t) {
			t.Run(fmt.Sprintf("%.40q %s", text, s.scheme), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h := webhooktest.Header(someID, time.Now(), s.sign(someID, text, someBody))
					h["Webhook-Timestamp"] = []string{text}
					d, err := s.verifier.Verify(t.Context(), h, someBody)
					wantRefusal(t, d, err, want)
				})
			})
		}
	}
}

func TestToleranceIsASetting(t *testing.T) {
	for _, s := range sides(t) {
		for tolerance, edge := range map[time.Duration]time.Duration{
			0:           5 * time.Minute,
			time.Minute: time.Minute,
			time.Hour:   time.Hour,
		} {
			t.Run(fmt.Sprint(s.scheme, " ", tolerance), func(t *testing.T) {
				switch v := s.verifier.(type) {
				case *webhook.Static:
					v.Tolerance = tolerance
				case *webhook.Dynamic:
					v.Tolerance = tolerance
				}
				synctest.Test(t, func(t *testing.T) {
					for _, away := range []time.Duration{edge, -edge, edge + time.Second, -edge - time.Second} {
						sent := time.Now().Add(away)
						h := webhooktest.Header(someID, sent, s.sign(someID, webhooktest.Timestamp(sent), someBody))
						d, err := s.verifier.Verify(t.Context(), h, someBody)
						if away.Abs() > edge {
							wantRefusal(t, d, err, webhook.ErrStale)
						} else {
							wantRefusal(t, d, err, nil)
						}
					}
				})
			})
		}
	}
}

// A late genuine delivery must be distinguished from a forged one.
func TestSignatureIsCheckedBeforeTheTimestamp(t *testing.T) {
	for _, s := range sides(t) {
		t.Run(string(s.scheme), func(t *testing.T) {
			sent := time.Now().Add(-time.Hour)
			h := webhooktest.Header(someID, sent, s.sign(someID, webhooktest.Timestamp(sent), someBody))
			d, err := s.verifier.Verify(t.Context(), h, someBody)
			wantRefusal(t, d, err, webhook.ErrStale)
			h.Set("Webhook-Signature", corrupt(h.Get("Webhook-Signature")))
			d, err = s.verifier.Verify(t.Context(), h, someBody)
			wantRefusal(t, d, err, webhook.ErrForged)
		})
	}
}

// corrupt changes one character in the middle of a signature, or of a JWT's last
// part.
func corrupt(signature string) string {
	i := len(signature) - 20
	c := "A"
	if signature[i] == 'A' {
		c = "B"
	}
	return signature[:i] + c + signature[i+1:]
}

func TestHeadersMissingOrRepeated(t *testing.T) {
	for _, name := range []string{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"} {
		for what, mutate := range map[string]func(http.Header){
			"missing":            func(h http.Header) { h.Del(name) },
			"no values":          func(h http.Header) { h[name] = []string{} },
			"empty":              func(h http.Header) { h.Set(name, "") },
			"empty, twice":       func(h http.Header) { h[name] = []string{"", ""} },
			"twice the same":     func(h http.Header) { h.Add(name, h.Get(name)) },
			"another after":      func(h http.Header) { h.Add(name, "1") },
			"another before":     func(h http.Header) { h[name] = []string{"1", h.Get(name)} },
			"an empty one after": func(h http.Header) { h.Add(name, "") },
			"empty one before":   func(h http.Header) { h[name] = []string{"", h.Get(name)} },
		} {
			for _, s := range sides(t) {
				if name == "Webhook-Signature" && !slices.Contains([]string{"missing", "no values", "empty", "empty, twice"}, what) {
					continue // see TestSignatureLines
				}
				t.Run(name+" "+what+" "+string(s.scheme), func(t *testing.T) {
					now := time.Now()
					h := webhooktest.Header(someID, now, s.sign(someID, webhooktest.Timestamp(now), someBody))
					d, err := s.verifier.Verify(t.Context(), h, someBody)
					wantRefusal(t, d, err, nil)
					mutate(h)
					d, err = s.verifier.Verify(t.Context(), h, someBody)
					wantRefusal(t, d, err, webhook.ErrMalformed)
				})
			}
		}
	}
}

// A list header may be repeated, and a proxy may join its lines to one (RFC 9110,
// section 5.3). Verify reads the entries of all lines.
func TestSignatureLines(t *testing.T) {
	for name, test := range map[string]struct {
		lines func(genuine, wrong string) []string
		want  error
	}{
		"genuine first":      {func(g, w string) []string { return []string{g, w} }, nil},
		"genuine second":     {func(g, w string) []string { return []string{w, g} }, nil},
		"twice the same":     {func(g, _ string) []string { return []string{g, g} }, nil},
		"an empty one first": {func(g, _ string) []string { return []string{"", g} }, nil},
		"an empty one last":  {func(g, _ string) []string { return []string{g, ""} }, nil},
		"lists":              {func(g, w string) []string { return []string{w + " " + w, w + " " + g} }, nil},
		"wrong ones":         {func(_, w string) []string { return []string{w, w} }, webhook.ErrForged},
		"split between the parts": {func(g, _ string) []string {
			return []string{g[:strings.IndexByte(g, ',')+1], g[strings.IndexByte(g, ',')+1:]}
		}, webhook.ErrForged},
		"17, a line each":         {func(g, w string) []string { return append(slices.Repeat([]string{w}, 16), g) }, webhook.ErrMalformed},
		"joined, genuine first":   {func(g, w string) []string { return []string{g + ", " + w} }, nil},
		"joined, genuine second":  {func(g, w string) []string { return []string{w + ", " + g} }, nil},
		"joined, in the midst":    {func(g, w string) []string { return []string{w + ", " + g + ", " + w} }, nil},
		"joined without a space":  {func(g, w string) []string { return []string{g + "," + w} }, nil},
		"joined with two spaces":  {func(g, w string) []string { return []string{g + " ,  " + w} }, nil},
		"joined with a tab":       {func(g, w string) []string { return []string{g + ",\t" + w} }, nil},
		"joined with empty lines": {func(g, _ string) []string { return []string{", ," + g + ", ,"} }, nil},
	} {
		for _, s := range sides(t)[:2] {
			t.Run(name+" "+string(s.scheme), func(t *testing.T) {
				now := time.Now()
				genuine := s.sign(someID, webhooktest.Timestamp(now), someBody)
				h := webhooktest.Header(someID, now, "")
				h["Webhook-Signature"] = test.lines(genuine, s.sign("another", "1", nil))
				d, err := s.verifier.Verify(t.Context(), h, someBody)
				wantRefusal(t, d, err, test.want)
			})
		}
	}
}

// A JWT is not a list: it is accepted only if all other lines are empty.
func TestJWTLines(t *testing.T) {
	s, now := sides(t)[2], time.Now()
	token := s.sign("", "", someBody)
	for name, test := range map[string]struct {
		lines []string
		want  error
	}{
		"an empty line first": {[]string{"", token}, nil},
		"an empty line last":  {[]string{token, ""}, nil},
		"twice the same":      {[]string{token, token}, webhook.ErrForged},
		"joined":              {[]string{token + ", " + token}, webhook.ErrForged},
		"another first":       {[]string{"1", token}, webhook.ErrForged},
	} {
		t.Run(name, func(t *testing.T) {
			h := webhooktest.Header(someID, now, "")
			h["Webhook-Signature"] = test.lines
			d, err := s.verifier.Verify(t.Context(), h, someBody)
			wantRefusal(t, d, err, test.want)
		})
	}
}

// Too many signatures are the sender's error: the request is malformed, not forged,
// and causes no fetch of the keys. Entries of other versions are not counted.
func TestTooManySignatures(t *testing.T) {
	for i, most := range []int{16, 4} {
		s := sides(t)[i]
		t.Run(string(s.scheme), func(t *testing.T) {
			now := time.Now()
			genuine, wrong := s.sign(someID, webhooktest.Timestamp(now), someBody), s.sign("another", "1", nil)
			other := strings.Repeat("v9,AAAA v1b,AAAA v1 v1a v1v1a ,v2,v1 ", 10_000)
			for _, list := range []string{
				strings.Repeat(wrong+" ", most-1) + genuine,
				genuine + strings.Repeat(" "+wrong, most-1),
				other + strings.Repeat(wrong+",", most-1) + genuine + " " + other,
			} {
				d, err := s.verifier.Verify(t.Context(), webhooktest.Header(someID, now, list), someBody)
				wantRefusal(t, d, err, nil)
			}
			down := errors.New("down")
			s.verifier = &webhook.Static{Keys: outage[webhook.SigningKey]{down}}
			if s.scheme == webhook.V1a {
				s.verifier = &webhook.Dynamic{Keys: outage[webhook.PublicKey]{down}}
			}
			for _, list := range []string{
				strings.Repeat(wrong+" ", most) + genuine,
				genuine + strings.Repeat(" "+wrong, most),
				genuine + strings.Repeat(" "+string(s.scheme)+",", most),
				strings.Repeat(string(s.scheme)+", ", 20_000),
			} {
				d, err := s.verifier.Verify(t.Context(), webhooktest.Header(someID, now, list), someBody)
				if wantRefusal(t, d, err, webhook.ErrMalformed); err != nil && !strings.Contains(err.Error(), "too many signatures") {
					t.Errorf("%v", err)
				}
			}
		})
	}
}

// A header of 1 MiB, the maximum of net/http, without a genuine signature, is
// rejected.
func TestLongSignatureHeaders(t *testing.T) {
	static := &webhook.Static{Keys: ring[webhook.SigningKey](slices.Repeat([]webhook.SigningKey{signingKey(t, secretA)}, 64))}
	dynamic := &webhook.Dynamic{Keys: ring[webhook.PublicKey](slices.Repeat([]webhook.PublicKey{publicKey("", otherEd)}, 16))}
	now := time.Now()
	for _, unit := range []string{" ", ",", "\t", "v1", "v1a", "v1 ", "v1a ", " v1", "x", "v9,", "v2,v1", "v1a.,", "\xff"} {
		long := strings.Repeat(unit, 1<<20/len(unit))
		for _, v := range []verifier{static, dynamic} {
			for _, list := range []string{long, long + " v1,AAAA v1a,AAAA"} {
				d, err := v.Verify(t.Context(), webhooktest.Header(someID, now, list), someBody)
				if wantRefusal(t, d, err, webhook.ErrForged); t.Failed() {
					t.Fatalf("%q", unit)
				}
			}
		}
	}
}

// Lists of signatures, for the two schemes that have them. %s is replaced by the
// genuine entry.
func TestSignatureLists(t *testing.T) {
	wrong := func(n int, s side) string {
		return strings.Repeat(s.sign("another", "1", nil)+" ", n)
	}
	for name, test := range map[string]struct {
		list func(genuine string, s side) string
		want error
	}{
		"alone":           {func(g string, _ side) string { return g }, nil},
		"first of two":    {func(g string, s side) string { return g + " " + wrong(1, s) }, nil},
		"second of two":   {func(g string, s side) string { return wrong(1, s) + g }, nil},
		"the same twice":  {func(g string, _ side) string { return g + " " + g }, nil},
		"4th":             {func(g string, s side) string { return wrong(3, s) + g }, nil},
		"first of 20,000": {func(g string, s side) string { return g + " " + wrong(19_999, s) }, webhook.ErrMalformed},
		"20,000th":        {func(g string, s side) string { return wrong(19_999, s) + g }, webhook.ErrMalformed},
		"20,000 wrong":    {func(_ string, s side) string { return wrong(20_000, s) }, webhook.ErrMalformed},
		"20,000 spaces":   {func(g string, _ side) string { return strings.Repeat(" ", 20_000) + g }, nil},
		"20,000 commas":   {func(string, side) string { return strings.Repeat(",", 20_000) }, webhook.ErrForged},
		"spaces around":   {func(g string, _ side) string { return "  " + g + "  " }, nil},
		"unknown before":  {func(g string, _ side) string { return "v9,x v1b,, , ,x x v1 v1a v1, v1a, " + g }, nil},
		"dots elsewhere":  {func(g string, _ side) string { return "v9,a.b.c " + g }, nil},
		"dots behind":     {func(g string, _ side) string { return g + " a.b.c" }, nil},
		"spaces alone":    {func(string, side) string { return "   " }, webhook.ErrForged},
		"a tab between":   {func(g string, _ side) string { return "v9,x\t" + g }, nil},
		"a tab first":     {func(g string, _ side) string { return "\t" + g }, nil},
	} {
		for _, s := range sides(t)[:2] {
			t.Run(name+" "+string(s.scheme), func(t *testing.T) {
				now := time.Now()
				h := webhooktest.Header(someID, now, test.list(s.sign(someID, webhooktest.Timestamp(now), someBody), s))
				d, err := s.verifier.Verify(t.Context(), h, someBody)
				wantRefusal(t, d, err, test.want)
			})
		}
	}
}

// One genuine entry, mutated.
func TestSignatureEntries(t *testing.T) {
	for name, mutate := range map[string]func(version, text string) string{
		"no version":              func(_, text string) string { return text },
		"no comma":                func(version, text string) string { return version + text },
		"two commas":              func(version, text string) string { return version + ",," + text },
		"letters before":          func(version, text string) string { return "x" + version + "," + text },
		"a dot before":            func(version, text string) string { return "." + version + "," + text },
		"a line break before":     func(version, text string) string { return "v9,x\n" + version + "," + text },
		"a space after the comma": func(version, text string) string { return version + ", " + text },
		"a space in the midst":    func(version, text string) string { return version + "," + text[:9] + " " + text[9:] },
		"another version":         func(version, text string) string { return version + "b," + text },
		"upper case version":      func(version, text string) string { return strings.ToUpper(version) + "," + text },
		"empty":                   func(version, _ string) string { return version + "," },
		"a character less":        func(version, text string) string { return version + "," + text[1:] },
		"a character more":        func(version, text string) string { return version + ",A" + text },
		"four characters more":    func(version, text string) string { return version + ",AAAA" + text },
		"four characters less":    func(version, text string) string { return version + "," + text[4:] },
		"twice as long":           func(version, text string) string { return version + "," + text + text },
		"one byte short":          func(version, text string) string { return version + "," + b64(unb64(text)[:len(unb64(text))-1]) },
		"one byte long":           func(version, text string) string { return version + "," + b64(append(unb64(text), 0)) },
		"no padding":              func(version, text string) string { return version + "," + strings.TrimRight(text, "=") },
		"more padding":            func(version, text string) string { return version + "," + text + "=" },
		"bad base64":              func(version, text string) string { return version + ",*" + text[1:] },
		"a newline in it":         func(version, text string) string { return version + "," + text[:8] + "\n" + text[8:] },
		"a newline for padding":   func(version, text string) string { return version + "," + text[:len(text)-1] + "\n" },
		"NUL for the end":         func(version, text string) string { return version + "," + text[:len(text)-1] + "\x00" },
		"other trailing bits":     func(version, text string) string { return version + "," + otherTrailingBits(text) },
		"URL alphabet": func(version, text string) string {
			return version + "," + strings.NewReplacer("+", "-", "/", "_").Replace(text)
		},
		"hex":               func(version, text string) string { return fmt.Sprintf("%s,%x", version, unb64(text)) },
		"another signature": func(version, text string) string { return corrupt(version + "," + text) },
		"all zero":          func(version, text string) string { return version + "," + b64(make([]byte, len(unb64(text)))) },
	} {
		for _, s := range sides(t)[:2] {
			t.Run(name+" "+string(s.scheme), func(t *testing.T) {
				// Find an id with a signature in which the base64 alphabets differ.
				now, id, text := time.Now(), "", ""
				for i := 0; !strings.ContainsAny(text, "+/"); i++ {
					id = fmt.Sprint("msg_", i)
					_, text, _ = strings.Cut(s.sign(id, webhooktest.Timestamp(now), someBody), ",")
				}
				h := webhooktest.Header(id, now, string(s.scheme)+","+text)
				d, err := s.verifier.Verify(t.Context(), h, someBody)
				wantRefusal(t, d, err, nil)
				h.Set("Webhook-Signature", mutate(string(s.scheme), text))
				d, err = s.verifier.Verify(t.Context(), h, someBody)
				wantRefusal(t, d, err, webhook.ErrForged)
			})
		}
	}
}

func b64(raw []byte) string { return base64.StdEncoding.EncodeToString(raw) }

func unb64(text string) []byte { return must(base64.StdEncoding.DecodeString(text)) }

// otherTrailingBits returns another encoding of the same bytes: base64 ignores bits
// of the last character before the padding.
func otherTrailingBits(text string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	last := len(strings.TrimRight(text, "=")) - 1
	other := text[:last] + string(alphabet[strings.IndexByte(alphabet, text[last])|1]) + text[last+1:]
	if string(unb64(other)) != string(unb64(text)) || other == text {
		panic("not the same bytes in another way")
	}
	return other
}

// The signed content is unambiguous: text cannot move from one part to the next,
// because dots separate them.
func TestContentIsUnambiguous(t *testing.T) {
	now := time.Now()
	timestamp := webhooktest.Timestamp(now)
	for _, s := range sides(t)[:2] {
		t.Run(string(s.scheme), func(t *testing.T) {
			// Signed: "msg" + "." + timestamp + "." + timestamp + ".x".
			h := webhooktest.Header("msg", now, s.sign("msg", timestamp, []byte(timestamp+".x")))
			d, err := s.verifier.Verify(t.Context(), h, []byte(timestamp+".x"))
			wantRefusal(t, d, err, nil)
			h.Set("Webhook-Id", "msg."+timestamp)
			d, err = s.verifier.Verify(t.Context(), h, []byte("x"))
			wantRefusal(t, d, err, webhook.ErrMalformed)
		})
	}
}
