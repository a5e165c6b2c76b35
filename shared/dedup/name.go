package dedup

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// defaultDatabase is the id of a project's default database.
const defaultDatabase = "(default)"

const (
	// Firestore's limits for the length of a database's id.
	minDatabase, maxDatabase = 4, 63

	maxCollection = 1500 // bytes; Firestore's limit for a collection's id

	hexDigits = "0123456789abcdef"
	letters   = "abcdefghijklmnopqrstuvwxyz"
	digits    = "0123456789"
)

var (
	errDatabase = errors.New("not the id of a Firestore database: " + defaultDatabase +
		", or 4 to 63 lower-case letters, digits and hyphens, a letter first and no hyphen last, and no UUID")
	errCollection = errors.New("not the id of a Firestore collection: 1 to 1500 bytes of UTF-8 without a slash," +
		` and neither ".", ".." nor __NAME__`)
)

// ParseDatabase returns the id of a database: "(default)" if text is empty. It fails if
// the id is not valid in Firestore.
func ParseDatabase(text string) (string, error) {
	switch {
	case text == "" || text == defaultDatabase:
		return defaultDatabase, nil
	case len(text) < minDatabase || len(text) > maxDatabase,
		strings.Trim(text, letters+digits+"-") != "",
		!strings.Contains(letters, text[:1]), strings.HasSuffix(text, "-"), uuid(text):
		return "", errDatabase
	}
	return text, nil
}

// uuid reports whether text has the form of a UUID. Firestore reserves such ids.
func uuid(text string) bool {
	parts := strings.Split(text, "-")
	if len(parts) != 5 {
		return false
	}
	for i, n := range []int{8, 4, 4, 4, 12} {
		if len(parts[i]) != n || strings.Trim(parts[i], hexDigits) != "" {
			return false
		}
	}
	return true
}

// ParseCollection returns the id of a collection: "deliveries" if text is empty. It fails
// if the id is not valid in Firestore, or if text is a path of several ids.
func ParseCollection(text string) (string, error) {
	switch {
	case text == "":
		return "deliveries", nil
	case len(text) > maxCollection || !utf8.ValidString(text),
		strings.Contains(text, "/") || text == "." || text == "..",
		len(text) >= 4 && strings.HasPrefix(text, "__") && strings.HasSuffix(text, "__"):
		return "", errCollection
	}
	return text, nil
}
