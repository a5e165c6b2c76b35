package dedup

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// defaultDatabase is the id of the database that a project has without a choice.
const defaultDatabase = "(default)"

const (
	// Firestore's rule for the id of a database.
	minDatabase, maxDatabase = 4, 63

	maxCollection = 1500 // bytes, Firestore's rule for the id of a collection

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

// ParseDatabase returns the id of a database: the default one's if text is empty.
// It fails if Firestore allows no such id.
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

// uuid reports whether text has the form of a UUID, which Firestore keeps for itself.
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

// ParseCollection returns the id of a collection: "deliveries" if text is empty. It
// fails if Firestore allows no such id, a path of several included.
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
