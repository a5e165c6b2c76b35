package dedup

import (
	"strings"
	"testing"
)

func TestParseDatabase(t *testing.T) {
	for text, want := range map[string]string{
		"": "(default)", "(default)": "(default)", "abcd": "abcd", "geminihook": "geminihook", "a--1": "a--1",
		"a" + strings.Repeat("1", 62):          "a" + strings.Repeat("1", 62),
		"abcdef01-2345-6789-abcd-ef012345678":  "abcdef01-2345-6789-abcd-ef012345678",
		"abcdefg1-2345-6789-abcd-ef0123456789": "abcdefg1-2345-6789-abcd-ef0123456789", // no hex
	} {
		if got, err := ParseDatabase(text); got != want || err != nil {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{
		"abc", "a" + strings.Repeat("1", 63), "1abc", "-abc", "abc-", "Abcd", "ab_cd", "ab.cd", "ab/cd", "ab cd", "(default", "default)",
		"äbcd", "projects/p/databases/d", "abcdef01-2345-6789-abcd-ef0123456789",
	} {
		if got, err := ParseDatabase(text); err == nil {
			t.Errorf("%q: %q, want a fault", text, got)
		}
	}
}

func TestParseCollection(t *testing.T) {
	for text, want := range map[string]string{
		"": "deliveries", "d": "d", "...": "...", "a b": "a b", "lieferungen-ä": "lieferungen-ä", "___": "___", "__a": "__a", "a__": "a__",
		strings.Repeat("x", 1500): strings.Repeat("x", 1500),
	} {
		if got, err := ParseCollection(text); got != want || err != nil {
			t.Errorf("%.20q: %.20q, %v; want %.20q", text, got, err, want)
		}
	}
	for _, text := range []string{
		"deliveries/static", "/", "a/", ".", "..", "____", "__a__", "\xff", strings.Repeat("x", 1501), strings.Repeat("ä", 751),
	} {
		if got, err := ParseCollection(text); err == nil {
			t.Errorf("%.20q: %.20q, want a fault", text, got)
		}
	}
}
