// Package running lets send, hostile and listen find the serve that runs on this
// machine, with the secrets and keys to sign for it and the address of its Pub/Sub.
//
// serve writes a file that only its user can read, and removes it when it ends. It does
// not offer the secrets over HTTP: any page in a browser and any user of the machine
// can send requests to a local port, but the file system checks the user.
package running

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/geminihook/geminihook/scripts/internal/terminal"
)

// Header is the response header with which a serve answers its Instance, at its root. A
// serve that was killed leaves its file behind; the header shows whether the serve that
// now uses the port is the one that wrote the file.
const Header = "Geminihook-Serve"

// askTimeout bounds the request to a serve. It is short because the serve is on this
// machine.
const askTimeout = 2 * time.Second

// A Serve describes a running serve. It is the content of the file.
type Serve struct {
	Instance   string    `json:"instance"` // random
	Started    time.Time `json:"started"`
	StaticURL  string    `json:"static_url"`
	DynamicURL string    `json:"dynamic_url"` // with the URL token
	Secrets    []string  `json:"secrets"`     // whsec_…; sign with the first
	Audience   string    `json:"audience"`
	Project    string    `json:"project"`
	PubSub     string    `json:"pubsub"` // host:port; it does not authenticate callers

	// The stand-in for the Gemini API, and the name of the secret that holds the
	// signing secrets of its webhook.
	GeminiURL     string `json:"gemini_url"`
	GeminiAPIKey  string `json:"gemini_api_key"`
	SecretManager string `json:"secret_manager"` // address, host:port
	SigningSecret string `json:"signing_secret"` // name

	// The private keys in PEM, for v1a and for JWTs. They are empty if serve fetches
	// the public keys from --jwks-url.
	Ed25519 string `json:"ed25519,omitempty"`
	RSA     string `json:"rsa,omitempty"`
}

// Dir returns the folder of the files: geminihook in the user's cache folder. It may
// not exist yet.
func Dir() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, "geminihook"), nil
}

// Announce writes the file of s in dir, and creates dir if necessary.
func Announce(dir string, s *Serve) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	// Rename makes the file visible only when it is complete.
	part := filepath.Join(dir, "new-"+s.Instance)
	if err = os.WriteFile(part, text, 0o600); err == nil {
		err = os.Rename(part, s.file(dir))
	}
	if err != nil {
		os.Remove(part)
	}
	return err
}

// Withdraw removes the file of s from dir.
func Withdraw(dir string, s *Serve) { os.Remove(s.file(dir)) }

func (s *Serve) file(dir string) string {
	return filepath.Join(dir, "serve-"+s.Instance+".json")
}

// Local returns the serves of this user that run on this machine, newest first. If no
// serve runs, the list is empty and the error nil.
func Local(ctx context.Context) (found []*Serve, err error) {
	dir, err := Dir()
	if err == nil {
		found, err = Find(ctx, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("look for a running serve: %w", err)
	}
	return found, nil
}

// Newest returns the newest serve. If no serve is running, the error names the command
// that starts one, and instead, the flag to give otherwise.
func Newest(ctx context.Context, instead string) (*Serve, error) {
	found, err := Local(ctx)
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("no serve is running: start one with `%s`, or give %s (--help)", terminal.Command("serve"), instead)
	}
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

// Find returns the serves in dir that answer, newest first. It removes the files of
// those that do not answer.
func Find(ctx context.Context, dir string) ([]*Serve, error) {
	names, err := filepath.Glob(filepath.Join(dir, "serve-*.json"))
	if err != nil {
		return nil, err
	}
	var found []*Serve
	for _, name := range names {
		s, err := read(name)
		switch {
		case errors.Is(err, fs.ErrNotExist): // it ended since Glob
		case err != nil:
			return nil, err
		case s.answers(ctx):
			found = append(found, s)
		default:
			os.Remove(name)
		}
	}
	slices.SortFunc(found, func(a, b *Serve) int { return b.Started.Compare(a.Started) })
	return found, nil
}

func read(name string) (*Serve, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	s := new(Serve)
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("%s: not written by serve (%w): remove the file", name, err)
	}
	return s, nil
}

// answers reports whether s is running: whether its address answers with its instance.
func (s *Serve) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	root, _ := url.JoinPath(s.StaticURL, "../") // an invalid URL fails below
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, root, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.Header.Get(Header) == s.Instance
}
