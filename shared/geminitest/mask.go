package geminitest

import (
	"maps"
	"strings"
)

// selectFields returns the parts of a value that a fields parameter selects, for
// example "nextPageToken,operations(name,metadata/state)". It applies to each element
// of a list. It ignores names that the value does not have, and "*" selects all
// names. ok is false if the text is malformed.
func selectFields(value any, fields string) (selected any, ok bool) {
	mask, rest, ok := parseMask(fields)
	if !ok || rest != "" {
		return nil, false
	}
	return mask.of(value), true
}

// A mask holds the selected names, each with the mask for its value. An empty mask
// selects everything.
type mask map[string]mask

// parseMask reads a list of paths, up to the end or to a closing bracket.
func parseMask(text string) (m mask, rest string, ok bool) {
	m = mask{}
	for {
		if text, ok = m.parsePath(text); !ok {
			return nil, "", false
		}
		if text == "" || text[0] != ',' {
			return m, text, true
		}
		text = text[1:]
	}
}

// parsePath adds one path, "a", "a/b" or "a(b,c)".
func (m mask) parsePath(text string) (rest string, ok bool) {
	end := strings.IndexAny(text, ",()/")
	if end < 0 {
		end = len(text)
	}
	name, rest := text[:end], text[end:]
	if name == "" {
		return "", false
	}
	below := mask{}
	switch {
	case strings.HasPrefix(rest, "/"):
		if rest, ok = below.parsePath(rest[1:]); !ok {
			return "", false
		}
	case strings.HasPrefix(rest, "("):
		if below, rest, ok = parseMask(rest[1:]); !ok || !strings.HasPrefix(rest, ")") {
			return "", false
		}
		rest = rest[1:]
	}
	if m[name] == nil {
		m[name] = mask{}
	}
	maps.Copy(m[name], below)
	return rest, true
}

// of returns the selected parts of a value.
func (m mask) of(value any) any {
	if len(m) == 0 || m["*"] != nil {
		return value
	}
	switch value := value.(type) {
	case object:
		kept := object{}
		for name, below := range m {
			if member, ok := value[name]; ok {
				kept[name] = below.of(member)
			}
		}
		return kept
	case []any:
		kept := make([]any, len(value))
		for i := range value {
			kept[i] = m.of(value[i])
		}
		return kept
	}
	return value
}
