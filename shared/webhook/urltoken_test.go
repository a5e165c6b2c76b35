package webhook_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/geminihook/geminihook/shared/webhook"
)

const urlToken = "Kq3-tokens_of.this~form0"

func parseURLToken(t testing.TB, text string) webhook.URLToken {
	t.Helper()
	token, err := webhook.ParseURLToken([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestURLTokenGate(t *testing.T) {
	gate := &webhook.URLTokenGate{Tokens: ring[webhook.URLToken]{parseURLToken(t, "another-token-in-force"), parseURLToken(t, urlToken)}}
	for text, want := range map[string]error{
		urlToken:                       nil,
		"another-token-in-force":       nil,
		"":                             webhook.ErrUnauthorized,
		urlToken[1:]:                   webhook.ErrUnauthorized,
		urlToken + "0":                 webhook.ErrUnauthorized,
		" " + urlToken:                 webhook.ErrUnauthorized,
		urlToken + "\x00":              webhook.ErrUnauthorized,
		strings.ToUpper(urlToken):      webhook.ErrUnauthorized,
		urlToken + urlToken:            webhook.ErrUnauthorized,
		strings.Repeat("x", 1<<20):     webhook.ErrUnauthorized,
		"withdrawn-token-0123456789ab": webhook.ErrUnauthorized,
		"\xff":                         webhook.ErrUnauthorized,
	} {
		t.Run(fmt.Sprintf("%.40q", text), func(t *testing.T) {
			if err := gate.Check(t.Context(), text); !errors.Is(err, want) {
				t.Errorf("%v, want %v", err, want)
			}
		})
	}
}

// A failure of ours is not a refusal.
func TestURLTokenGateOutage(t *testing.T) {
	down := errors.New("down")
	gate := &webhook.URLTokenGate{Tokens: outage[webhook.URLToken]{down}}
	if err := gate.Check(t.Context(), urlToken); !errors.Is(err, down) || errors.Is(err, webhook.ErrUnauthorized) {
		t.Errorf("%v, want the keyring's error", err)
	}
	// A missing token is rejected without the keyring.
	if err := gate.Check(t.Context(), ""); !errors.Is(err, webhook.ErrUnauthorized) {
		t.Errorf("no token: %v", err)
	}
}

func TestParseURLToken(t *testing.T) {
	for name, text := range map[string]string{
		"16 characters":   "0123456789abcdef",
		"256 characters":  strings.Repeat("x", 256),
		"all of them":     "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~",
		"a newline after": "0123456789abcdef\n",
		"byte order mark": "\ufeff0123456789abcdef\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			gate := &webhook.URLTokenGate{Tokens: ring[webhook.URLToken]{parseURLToken(t, text)}}
			if err := gate.Check(t.Context(), strings.TrimSpace(strings.TrimPrefix(text, "\ufeff"))); err != nil {
				t.Error(err)
			}
		})
	}
	for name, text := range map[string]string{
		"empty":          "",
		"spaces":         strings.Repeat(" ", 20),
		"15 characters":  "0123456789abcde",
		"257 characters": strings.Repeat("x", 257),
		"space":          "0123456789abcdef 0123456789abcdef",
		"a line each":    "0123456789abcdef\n0123456789abcdef",
		"plus":           "0123456789abcde+",
		"slash":          "0123456789abcde/",
		"equals":         "0123456789abcde=",
		"percent":        "0123456789abcde%20",
		"ampersand":      "0123456789abcdef&x=y",
		"before a":       "0123456789abcde`",
		"after z":        "0123456789abcde{",
		"before A":       "0123456789abcde@",
		"after Z":        "0123456789abcde[",
		"after 9":        "0123456789abcde:",
		"not ASCII":      "0123456789abcdeä",
		"NUL":            "0123456789abcde\x00",
		"mark behind":    "0123456789abcdef\ufeff",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := webhook.ParseURLToken([]byte(text))
			if err == nil {
				t.Fatal("accepted")
			}
			if strings.Contains(err.Error(), "0123") {
				t.Errorf("the error contains the token: %v", err)
			}
		})
	}
}

func TestURLTokenIsNotPrinted(t *testing.T) {
	token := parseURLToken(t, urlToken)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		if text := fmt.Sprintf(verb, token); strings.Contains(text, urlToken[:6]) || strings.Contains(text, fmt.Sprintf("%x", urlToken[:6])) {
			t.Errorf("%s: %s", verb, text)
		}
	}
}
