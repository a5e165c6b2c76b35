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
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"
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
	PubSub     string    `json:"pubsub"` // its address, host:port, which asks nobody who they are

	// The stand-in for the Gemini API, and the secret in which its webhook's signing
	// secrets are.
	GeminiURL     string `json:"gemini_url"`
	GeminiAPIKey  string `json:"gemini_api_key"`
	SecretManager string `json:"secret_manager"` // address, host:port
	SigningSecret string `json:"signing_secret"` // name

	// Private keys in PEM, for v1a and for tokens. Empty where serve takes its
	// keys from elsewhere.
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
	// The name appears when the file is whole. CreateTemp's mode is 0600.
	f, err := os.CreateTemp(dir, "new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), s.file(dir))
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// Withdraw removes the file of s from dir.
func Withdraw(dir string, s *Serve) { os.Remove(s.file(dir)) }

func (s *Serve) file(dir string) string {
	return filepath.Join(dir, "serve-"+s.Instance+".json")
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
	root, err := url.Parse(s.StaticURL)
	if err != nil {
		return false
	}
	root.Path = "/"
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, root.String(), nil)
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
