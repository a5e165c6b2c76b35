package gcptest

import (
	"regexp"
	"strings"
)

// Firestore's limits on names, in bytes.
const (
	maxID        = 1500 // of a document or a collection
	maxFieldName = 1500
)

var (
	databaseName = regexp.MustCompile(`^projects/[^/\s]+/databases/[^/\s]+$`)
	reserved     = regexp.MustCompile(`^__.+__$`)
	pathSegment  = regexp.MustCompile("^(?:[a-zA-Z_][a-zA-Z_0-9]*|`(?:[^`\\\\]|\\\\.)+`)")
	escaped      = regexp.MustCompile(`\\(.)`)
)

// checkDatabase returns an error if name is not the full name of a database.
func checkDatabase(name string) error {
	if !databaseName.MatchString(name) {
		return invalid("bad database name %q", name)
	}
	return nil
}

// checkDocument returns an error if name is not the full name of a document in the
// database.
func checkDocument(database, name string) error {
	path, ok := strings.CutPrefix(name, database+"/documents/")
	if !ok {
		return invalid("document %q is not in database %q", name, database)
	}
	ids := strings.Split(path, "/")
	if len(ids)%2 != 0 {
		return invalid("%q names a collection, not a document", name)
	}
	for _, id := range ids {
		if id == "" || id == "." || id == ".." || len(id) > maxID || reserved.MatchString(id) {
			return invalid("bad id in document name %q", name)
		}
	}
	return nil
}

// parsePath splits a field path into field names: dots separate, backticks quote.
func parsePath(path string) (names []string, err error) {
	for rest := path; ; rest = rest[1:] {
		segment := pathSegment.FindString(rest)
		rest = rest[len(segment):]
		if segment == "" || rest != "" && rest[0] != '.' {
			return nil, invalid("bad field path %q", path)
		}
		name := segment
		if segment[0] == '`' {
			name = escaped.ReplaceAllString(segment[1:len(segment)-1], "$1")
		}
		if err := checkFieldName(name); err != nil {
			return nil, err
		}
		if names = append(names, name); rest == "" {
			return names, nil
		}
	}
}

// checkFieldName returns an error if name is empty, too long or reserved.
func checkFieldName(name string) error {
	if name == "" || len(name) > maxFieldName || reserved.MatchString(name) {
		return invalid("bad field name %q", name)
	}
	return nil
}
