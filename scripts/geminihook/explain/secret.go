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
	minKeyBytes  = 16
	byteMark     = "\ufeff"
)

// A secretGuess is a key that may have been meant.
type secretGuess struct {
	finding
	key []byte
}

// secrets are the keys that the receiver's secrets may stand for, those of the secrets as
// they are before all others.
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

// otherKeys are the keys that a text stands for if something is wrong with it.
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
	guess(raw(", "+secretPrefix+" included,", false), []byte(secretPrefix+bare))
	guess(raw(" after "+secretPrefix, stored), []byte(bare))
	guess(raw(", "+secretPrefix+" included, read as base64", false), lenient(secretPrefix+bare))
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

// raw is the finding that the signer used the secret's text. If the text has no prefix,
// it may be the key: then the secret was decoded before it was stored.
func raw(which string, stored bool) finding {
	if stored {
		return decoded("")
	}
	return finding{SecretRaw, "the key is the secret's text" + which + " instead of what it decodes to",
		"have the signer decode the secret: the key is the base64 after " + secretPrefix + ", decoded. Google's signer does"}
}

func decoded(how string) finding {
	return finding{SecretDecoded, "the secret was decoded before it was stored" + how,
		"store the secret as it was given, " + secretPrefix + " and base64: the functions decode it. If it is lost, rotate it"}
}

var twice = finding{SecretTwice, "the secret was encoded in base64 once more before it was stored",
	"store the secret as it was given; kubectl and some consoles encode by themselves, or expect base64 and decode it"}

// lenient decodes as Node's Buffer.from(text, "base64") does, which takes - and _ for +
// and /.
func lenient(text string) []byte {
	key, _ := base64.RawStdEncoding.DecodeString(strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(text), "="))
	return key
}

// narrow returns a byte for each character up to U+00FF: bytes that were written as text.
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

// secretIn is a secret in the midst of other text, for example of a dotenv file.
var (
	secretIn   = regexp.MustCompile(secretPrefix + `[A-Za-z0-9+/_-]{20,}={0,2}`)
	dotenvLine = regexp.MustCompile(`(?m)^\s*(?:export\s+|set\s+|\$env:)?[A-Za-z_][A-Za-z0-9_]*\s*[=:]`)
)

// malformed says what is wrong with a secret, and nothing of it.
func malformed(text string) finding {
	f := finding{SecretForm, "the secret is not as the Gemini API gave it out: ", "store it bare: " + secretPrefix + " and base64, nothing around it"}
	before, _, _ := strings.Cut(text, secretPrefix)
	switch {
	case strings.Contains(text, byteMark), strings.HasPrefix(text, "\xff\xfe"), strings.HasPrefix(text, "\xfe\xff"), strings.Contains(text, "w\x00h\x00"):
		return finding{SecretMark, "the secret's file has a byte order mark or is in UTF-16, as PowerShell and some editors write it",
			"write the file in ASCII without a mark: Set-Content -Encoding ascii -NoNewline in PowerShell, printf elsewhere"}
	case strings.Contains(text, secretPrefix) && dotenvLine.MatchString(before):
		return finding{SecretLine, "the secret is a whole line of a dotenv file, with its name before it", "store only the value: " + secretPrefix + " and base64, without the name, the = and quotes"}
	case strings.Contains(text, "..."):
		f.why, f.do = f.why+"it is the shortened form that the API lists", "use the one that was shown when the webhook was made; a lost one is rotated"
	case !strings.Contains(text, secretPrefix) && strings.ContainsFunc(text, notText):
		return decoded("")
	case strings.ContainsAny(text, "\"'`"):
		f.why += "it has quotes around it"
	case strings.Contains(text, "v1,"):
		f.why += "it begins with v1, which is a signature's beginning"
	case strings.Count(text, secretPrefix) > 1:
		f.why += secretPrefix + " stands there twice"
	case strings.ContainsFunc(text, unicode.IsSpace):
		f.why += "it has white space in it"
	case strings.ContainsAny(strings.TrimPrefix(text, secretPrefix), "-_"):
		f.why += "it is in base64url, with - and _ where + and / belong"
	default:
		f.why += fmt.Sprintf("what follows %s is not base64 of %d bytes or more", secretPrefix, minKeyBytes)
	}
	return f
}

// notText reports whether a character is one that only bytes have.
func notText(r rune) bool { return r == utf8.RuneError || r >= 0x80 || r < ' ' && !unicode.IsSpace(r) }

var wrapping = regexp.MustCompile("[\\s\"'`]")

// cleaned is a secret without what does not belong to it.
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

// secretForm looks at the form of the secrets. What white space around one and a missing
// prefix do, the functions do too: nothing. A byte order mark they drop, others do not.
func (x *examination) secretForm() {
	for _, text := range x.to.Secrets {
		_, err := webhook.ParseSigningKey([]byte(text))
		marked := strings.HasPrefix(text, byteMark)
		switch f := malformed(text); {
		case err == nil && marked:
			x.find(f, "secret", "%s; the functions drop the mark, other receivers do not", f.why)
		case err == nil:
			x.say(Pass, "secret", "base64, long enough")
		case !x.foundSecret():
			x.find(f, "secret", "%s", f.why)
		default:
			x.say(Fail, "secret", "not %s and base64 of %d bytes or more, nothing else", secretPrefix, minKeyBytes)
		}
	}
}

// foundSecret reports whether a cause was found that is the secret's.
func (x *examination) foundSecret() bool {
	return slices.ContainsFunc([]Cause{SecretForm, SecretMark, SecretLine, SecretDecoded, SecretTwice, SecretRaw}, x.has)
}
