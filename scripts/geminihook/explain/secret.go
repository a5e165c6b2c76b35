package explain

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/geminihook/geminihook/shared/webhook"
)

const (
	secretPrefix = "whsec_"
	minKeyBytes  = 16       // the shortest key that the functions accept
	byteMark     = "\ufeff" // byte order mark
)

// A secretGuess is a guess at the signing key, with the finding reported if it matches.
type secretGuess struct {
	finding
	key []byte
}

// secrets returns guesses at the signing key: first the keys of the receiver's secrets,
// and then the keys that malformed secrets may mean.
func (x *examination) secrets() (all []secretGuess) {
	for _, text := range x.to.Secrets {
		if key, err := keyOf(text); err == nil {
			all = append(all, secretGuess{key: key})
		}
	}
	for _, text := range x.to.Secrets {
		all = append(all, otherKeys(text)...)
	}
	return all
}

// keyOf returns the key of a secret, if the functions accept it.
func keyOf(text string) ([]byte, error) {
	if _, err := webhook.ParseSigningKey([]byte(text)); err != nil {
		return nil, err
	}
	bare := strings.TrimPrefix(strings.TrimSpace(strings.TrimPrefix(text, byteMark)), secretPrefix)
	return base64.RawStdEncoding.DecodeString(strings.TrimRight(bare, "="))
}

// otherKeys returns guesses at the key for a secret that was stored or used wrongly.
func otherKeys(text string) (all []secretGuess) {
	guess := func(f finding, key []byte) {
		if len(key) >= minKeyBytes {
			all = append(all, secretGuess{f, key})
		}
	}
	if key, err := keyOf(cleaned(text)); err == nil {
		guess(malformed(text), key)
	}
	bare := strings.TrimPrefix(strings.TrimSpace(text), secretPrefix)
	stored := !strings.Contains(text, secretPrefix)
	guess(raw(" including "+secretPrefix, false), []byte(secretPrefix+bare))
	guess(raw(" after "+secretPrefix, stored), []byte(bare))
	guess(raw(" including "+secretPrefix+", decoded as base64", false), lenient(secretPrefix+bare))
	if stored {
		for _, key := range [][]byte{[]byte(text), []byte(strings.TrimSpace(text)), narrow(text)} {
			guess(decoded(""), key)
		}
	}
	if key, err := hex.DecodeString(bare); err == nil {
		guess(decoded(", and is in hex"), key)
	}
	if once, err := base64.StdEncoding.DecodeString(bare); err == nil {
		if key, err := keyOf(string(once)); err == nil {
			guess(twice, key)
		}
	}
	return all
}

// raw returns the finding that the signer used the secret's text as the key. If stored,
// the text has no prefix, so it is the key itself, decoded before it was stored.
func raw(which string, stored bool) finding {
	if stored {
		return decoded("")
	}
	return finding{SecretRaw, "the signer used the secret's text" + which + " as the key, without decoding it",
		"have the signer decode the base64 after " + secretPrefix + " to get the key, as Google's signer does"}
}

// decoded returns the finding that the secret was decoded before it was stored.
func decoded(how string) finding {
	return finding{SecretDecoded, "the secret was decoded before it was stored" + how,
		"store the secret as Gemini returned it, " + secretPrefix + " and base64, because the functions decode it; if it is lost, rotate it"}
}

// twice is the finding that the secret was encoded before it was stored.
var twice = finding{SecretTwice, "the secret was encoded in base64 a second time before it was stored",
	"store the secret as Gemini returned it; kubectl and some consoles encode it, others expect base64 and decode it"}

// lenient decodes base64 as Node's Buffer.from(text, "base64") does, which also accepts
// the characters of base64url.
func lenient(text string) []byte {
	key, _ := base64.RawStdEncoding.DecodeString(strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(text), "="))
	return key
}

// narrow returns a byte for each character, or nil if a character is above U+00FF. It
// restores bytes that were stored as Latin-1 text.
func narrow(text string) []byte {
	var all []byte
	for _, r := range text {
		if r > 0xff {
			return nil
		}
		all = append(all, byte(r))
	}
	return all
}

// secretIn matches a secret within other text, and dotenvLine the name in a dotenv
// file.
var (
	secretIn   = regexp.MustCompile(secretPrefix + `[A-Za-z0-9+/_-]{20,}={0,2}`)
	dotenvLine = regexp.MustCompile(`(?m)^\s*(?:export\s+|set\s+|\$env:)?[A-Za-z_][A-Za-z0-9_]*\s*[=:]`)
)

// malformed returns the finding for a malformed secret. It contains no part of the
// secret.
func malformed(text string) finding {
	f := finding{SecretForm, "the secret is malformed: ", "store the secret as Gemini returned it: only " + secretPrefix + " and base64"}
	before, _, _ := strings.Cut(text, secretPrefix)
	switch {
	case strings.Contains(text, byteMark), strings.HasPrefix(text, "\xff\xfe"), strings.HasPrefix(text, "\xfe\xff"), strings.Contains(text, "w\x00h\x00"):
		return finding{SecretMark, "the secret's file has a byte order mark or is in UTF-16, as written by PowerShell and some editors",
			"write the file in ASCII without a byte order mark: with Set-Content -Encoding ascii -NoNewline in PowerShell, with printf elsewhere"}
	case strings.Contains(text, secretPrefix) && dotenvLine.MatchString(before):
		return finding{SecretLine, "the secret is a whole line of a dotenv file, including its name", "store only the value, without the name, the = and quotes"}
	case strings.Contains(text, "..."):
		f.why, f.do = f.why+"it is the shortened form that the API lists", "use the full secret, which Gemini returns only when it creates the webhook; if it is lost, rotate it"
	case !strings.Contains(text, secretPrefix) && strings.ContainsFunc(text, notText):
		return decoded("")
	case strings.ContainsAny(text, "\"'`"):
		f.why += "it has quotes around it"
	case strings.Contains(text, "v1,"):
		f.why += "it begins with v1, as signatures do"
	case strings.Count(text, secretPrefix) > 1:
		f.why += "it has the prefix " + secretPrefix + " twice"
	case strings.ContainsFunc(text, unicode.IsSpace):
		f.why += "it has white space in it"
	case strings.ContainsAny(strings.TrimPrefix(text, secretPrefix), "-_"):
		f.why += "it is in base64url, with - and _ instead of + and /"
	default:
		f.why += fmt.Sprintf("after %s it must have base64 of at least %d bytes", secretPrefix, minKeyBytes)
	}
	return f
}

// notText reports whether a character does not occur in a secret's text, only in binary
// data.
func notText(r rune) bool { return r == utf8.RuneError || r >= 0x80 || r < ' ' && !unicode.IsSpace(r) }

var wrapping = regexp.MustCompile("[\\s\"'`]")

// cleaned returns a secret without white space, quotes, byte order marks, repeated
// prefixes and a dotenv name, in standard base64.
func cleaned(text string) string {
	text = strings.ReplaceAll(string(utf8Of([]byte(text))), byteMark, "")
	if found := secretIn.FindString(text); found != "" && dotenvLine.MatchString(text) {
		text = found
	}
	text = wrapping.ReplaceAllString(text, "")
	for {
		shorter := strings.TrimPrefix(strings.TrimPrefix(text, "v1,"), secretPrefix)
		if shorter == text {
			return secretPrefix + strings.NewReplacer("-", "+", "_", "/").Replace(text)
		}
		text = shorter
	}
}

// secretForm checks the form of the secrets. Like the functions, it accepts white space
// around a secret and a missing prefix. The functions also ignore a byte order mark,
// but other receivers do not.
func (x *examination) secretForm() {
	for _, text := range x.to.Secrets {
		_, err := webhook.ParseSigningKey([]byte(text))
		marked := strings.HasPrefix(text, byteMark)
		switch f := malformed(text); {
		case err == nil && marked:
			x.find(f, "secret", "%s; the functions ignore the mark, other receivers do not", f.why)
		case err == nil:
			x.say(Pass, "secret", "well-formed")
		case !x.foundSecret():
			x.find(f, "secret", "%s", f.why)
		default:
			x.say(Fail, "secret", "malformed: want only %s and base64 of at least %d bytes", secretPrefix, minKeyBytes)
		}
	}
}

// foundSecret reports whether a cause in the secret was found.
func (x *examination) foundSecret() bool {
	return slices.ContainsFunc([]Cause{SecretForm, SecretMark, SecretLine, SecretDecoded, SecretTwice, SecretRaw}, x.has)
}
