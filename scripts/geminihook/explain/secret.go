package explain

import (
	"encoding/base64"
	"regexp"
	"strings"

	"github.com/geminihook/geminihook/shared/webhook"
)

const secretPrefix = "whsec_"

// A secretGuess is a secret that may have been meant.
type secretGuess struct {
	finding
	text string
}

// secrets are the secrets that text may stand for, the first of them text itself.
func secrets(text string) []secretGuess {
	all := []secretGuess{{text: text}}
	clean := cleaned(text)
	if clean != text {
		all = append(all, secretGuess{malformed(text), clean})
	}
	raw := func(key, which string) secretGuess {
		return secretGuess{finding{SecretRaw, "the key is the secret's text" + which + " instead of what it decodes to",
			"have the signer decode the secret: the key is the base64 after " + secretPrefix + ", decoded"}, secretPrefix + base64.StdEncoding.EncodeToString([]byte(key))}
	}
	without := strings.TrimPrefix(strings.TrimSpace(text), secretPrefix)
	return append(all, raw(secretPrefix+without, ", "+secretPrefix+" included,"), raw(without, " after "+secretPrefix))
}

// malformed says what is wrong with a secret, and nothing of it.
func malformed(text string) finding {
	f := finding{SecretForm, "the secret is not as the Gemini API gave it out: ", "store it bare: " + secretPrefix + " and base64, nothing around it"}
	switch {
	case strings.Contains(text, "..."):
		f.why, f.do = f.why+"it is the shortened form that the API lists", "use the one that was shown when the webhook was made; a lost one is rotated"
	case strings.ContainsAny(text, "\"'`"):
		f.why += "it has quotes around it"
	case strings.Contains(text, "v1,"):
		f.why += "it begins with v1, which is a signature's beginning"
	case strings.Count(text, secretPrefix) > 1:
		f.why += secretPrefix + " stands there twice"
	case strings.ContainsAny(text, " \t\r\n"):
		f.why += "it has white space in it"
	case strings.ContainsAny(strings.TrimPrefix(text, secretPrefix), "-_"):
		f.why += "it is in base64url, with - and _ where + and / belong"
	default:
		f.why += "what follows " + secretPrefix + " is not base64 of 16 bytes or more"
	}
	return f
}

var wrapping = regexp.MustCompile("[\\s\"'`]")

// cleaned is a secret without what does not belong to it.
func cleaned(text string) string {
	text = wrapping.ReplaceAllString(text, "")
	for {
		shorter := strings.TrimPrefix(strings.TrimPrefix(text, "v1,"), secretPrefix)
		if shorter == text {
			return secretPrefix + strings.NewReplacer("-", "+", "_", "/").Replace(text)
		}
		text = shorter
	}
}

// secret looks at the secret's form. What white space around it and a missing
// prefix do, the functions do too: nothing.
func (x *examination) secret() {
	_, err := webhook.ParseSigningKey([]byte(x.to.Secret))
	if err == nil {
		x.say(Pass, "secret", "base64, long enough")
		return
	}
	f := malformed(x.to.Secret)
	x.find(f, "secret", "%s", f.why)
}

// mustParse parses a secret that was parsed before.
func mustParse(text string) webhook.SigningKey {
	key, err := webhook.ParseSigningKey([]byte(text))
	if err != nil {
		panic(err)
	}
	return key
}
