// Package running lets send, hostile and listen find the serve that runs on this machine,
// with the secrets and keys to sign for it and the Pub/Sub that it publishes to.
//
// serve leaves a file, readable by its user alone, and removes it when it ends. It
// does not hand the secrets out over HTTP: any page in a browser, and any user of
// the machine, can send requests to a local port, while the file system knows who
// asks.
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

// Header is the header in which a serve answers its Instance at its root, so that
// a file left behind by one that was killed is told from that of the next.
const Header = "Geminihook-Serve"

// askTimeout bounds the question to a serve, which is on this machine.
const askTimeout = 2 * time.Second

// A Serve is a running serve.
type Serve struct {
	Instance   string    `json:"instance"` // random
	Started    time.Time `json:"started"`
	StaticURL  string    `json:"static_url"`
	DynamicURL string    `json:"dynamic_url"` // with the URL token
	Secrets    []string  `json:"secrets"`     // whsec_…, the first to be signed with
	Audience   string    `json:"audience"`
	Project    string    `json:"project"`
	PubSub     string    `json:"pubsub"` // its address, host:port, which authenticates no caller

	// The stand-in for the Gemini API, and the secret in which its webhook's signing
	// secrets are.
	GeminiURL     string `json:"gemini_url"`
	GeminiAPIKey  string `json:"gemini_api_key"`
	SecretManager string `json:"secret_manager"` // address, host:port
	SigningSecret string `json:"signing_secret"` // name

	// Private keys in PEM, for v1a and for JWTs. Empty if serve fetches the public
	// keys from --jwks-url.
	Ed25519 string `json:"ed25519,omitempty"`
	RSA     string `json:"rsa,omitempty"`
}

// Dir returns the folder that the files are in.
func Dir() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, "geminihook"), nil
}

// Announce leaves the file of s in dir.
func Announce(dir string, s *Serve) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	// The name appears when the file is whole.
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

// Local returns the serves that run on this machine for this user, the newest first.
func Local(ctx context.Context) (found []*Serve, err error) {
	dir, err := Dir()
	if err == nil {
		found, err = Find(ctx, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("looking for a running serve: %w", err)
	}
	return found, nil
}

// Newest returns the newest serve. If none is running, its error says how to start one,
// or which flags to give instead.
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

// Find returns those in dir that answer, the newest first. The file of one that
// does not is removed.
func Find(ctx context.Context, dir string) ([]*Serve, error) {
	names, err := filepath.Glob(filepath.Join(dir, "serve-*.json"))
	if err != nil {
		return nil, err
	}
	var found []*Serve
	for _, name := range names {
		s, err := read(name)
		switch {
		case errors.Is(err, fs.ErrNotExist): // it ended just now
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
		return nil, errors.New(name + " is not what serve wrote; remove it")
	}
	return s, nil
}

func (s *Serve) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	root, _ := url.JoinPath(s.StaticURL, "../") // what is no URL fails below
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
