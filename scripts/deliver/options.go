package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/geminihook/geminihook/scripts/internal/command"
	"github.com/geminihook/geminihook/shared/webhook"
)

const usage = `Usage: go run ./scripts/deliver [flags]

Signs events as Gemini does and posts them. Without flags it finds the serve that
runs on this machine (the newest, where there are several) and sends one event of
each of the nine types to both endpoints: static, signed v1, and dynamic, signed v1a.
The exit status is 0 where every answer was as it should be, else 1.

Elsewhere than at a serve, -url says where, and the signing needs a secret (v1) or
a private key whose public half the receiver knows (v1a, jwt). A secret on the
command line shows in ps: GEMINIHOOK_SECRET, or -secret-file, does not.

With -explain it sends nothing: it says of a request that was captured, as raw HTTP,
whether the functions would take it now, and if not why. It needs what they verify
by, a secret or a key set. The exit status is 1 where they would refuse it, a genuine
one that has grown old included.

Examples:
  go run ./scripts/deliver
  go run ./scripts/deliver -hostile
  go run ./scripts/deliver -type video.generated -scheme jwt
  go run ./scripts/deliver -n 10000 -concurrency 50
  go run ./scripts/deliver -body event.json -retry
  go run ./scripts/deliver -url http://127.0.0.1:8081          the serve on another port
  GEMINIHOOK_SECRET=whsec_… go run ./scripts/deliver -explain request.txt
  go run ./scripts/deliver -explain - -jwks-file jwks.json -audience https://… < request.txt
  GEMINIHOOK_SECRET=whsec_… go run ./scripts/deliver -url https://REGION-PROJECT.cloudfunctions.net/NAME
`

// secretVariable is where a secret may be, out of sight of ps.
const secretVariable = "GEMINIHOOK_SECRET"

type options struct {
	url         string
	at          *url.URL // of url; nil where that is empty
	secret      string
	secretFile  string
	keyFile     string
	audience    string
	scheme      webhook.Scheme
	eventType   string
	bodyFile    string
	body        []byte // of bodyFile
	n           int
	concurrency int
	retry       bool
	firstPause  time.Duration
	hostile     bool
	explain     string
	jwksURL     string
	jwksFile    string
	json        bool
}

// parse returns what args ask for, checked.
func parse(args []string) (*options, error) {
	o := new(options)
	flags := flag.NewFlagSet("deliver", flag.ContinueOnError)
	flags.StringVar(&o.url, "url", "", "post to this `URL`, for v1a and jwt with its token (default: the running serve)")
	flags.StringVar(&o.secret, "secret", "", "sign v1 with this `SECRET`, whsec_… (default: that of serve, elsewhere "+secretVariable+")")
	flags.StringVar(&o.secretFile, "secret-file", "", "sign v1 with the secret in this `FILE`; - is standard input")
	flags.StringVar(&o.keyFile, "key", "", "sign v1a or jwt with the private key in this `FILE`: Ed25519, for jwt also RSA or P-256, in PKCS #8 PEM")
	flags.StringVar(&o.audience, "audience", "", "the `AUDIENCE` of tokens (default: that of serve, else the URL)")
	flags.Func("scheme", "sign in this `SCHEME` only: v1 (static), v1a or jwt (dynamic)", o.setScheme)
	flags.StringVar(&o.eventType, "type", "", "send events of this `TYPE` only, such as video.generated; any will do")
	flags.StringVar(&o.bodyFile, "body", "", "send the bytes of this `FILE` as the body; - is standard input")
	flags.IntVar(&o.n, "n", 0, "send `N` deliveries, the types in turn (default: one of each)")
	flags.IntVar(&o.concurrency, "concurrency", 1, "send up to `C` deliveries at a time")
	flags.BoolVar(&o.retry, "retry", false, "repeat each delivery until it is answered 2xx, with growing pauses, for up to 24 hours")
	flags.DurationVar(&o.firstPause, "retry-pause", firstPause, "the first pause of -retry, from which all others follow")
	flags.BoolVar(&o.hostile, "hostile", false, "send what must be refused, repeated or endured, and judge the answers")
	flags.StringVar(&o.explain, "explain", "", "say why the request captured in this `FILE` is refused; - is standard input")
	flags.StringVar(&o.jwksURL, "jwks-url", "", "with -explain, for v1a and jwt: verify by the key set at this `URL`, https or loopback")
	flags.StringVar(&o.jwksFile, "jwks-file", "", "with -explain, for v1a and jwt: verify by the key set in this `FILE`")
	flags.BoolVar(&o.json, "json", false, "write a JSON line for each result")
	if err := command.Parse(flags, usage, args, os.Stdout); err != nil {
		return nil, err
	}
	return o, o.complete(flags)
}

func (o *options) setScheme(text string) error {
	o.scheme = webhook.Scheme(text)
	if !slices.Contains(schemes, o.scheme) {
		return errors.New("none of v1, v1a, jwt")
	}
	return nil
}

var schemes = []webhook.Scheme{webhook.V1, webhook.V1a, webhook.JWT}

// complete checks what was set, and reads the files.
func (o *options) complete(flags *flag.FlagSet) (err error) {
	if o.n < 0 || o.concurrency < 1 || o.firstPause <= 0 {
		return errors.New("-n, -concurrency or -retry-pause is too small")
	}
	err = o.together(flags)
	if err == nil && o.url != "" {
		o.at, err = parseURL(o.url)
	}
	if err == nil && o.bodyFile != "" {
		o.body, err = readFile("-body", o.bodyFile)
	}
	if err == nil && o.secretFile != "" {
		var text []byte
		text, err = readSecret(o.secretFile)
		o.secret = strings.TrimSpace(string(text))
	}
	return err
}

// together checks that the flags go with one another.
func (o *options) together(flags *flag.FlagSet) (err error) {
	flags.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "type", "body", "n", "concurrency", "retry", "retry-pause":
			if o.hostile {
				err = fmt.Errorf("-hostile sends its own deliveries: -%s does not go with it", f.Name)
			}
			fallthrough
		case "url", "key", "scheme", "hostile":
			if o.explain != "" {
				err = fmt.Errorf("-explain sends nothing: -%s does not go with it", f.Name)
			}
		case "jwks-url", "jwks-file":
			if o.explain == "" {
				err = fmt.Errorf("-%s is for -explain", f.Name)
			}
		}
	})
	if err == nil && o.explain == "-" && o.secretFile == "-" {
		err = errors.New("-explain and -secret-file cannot both be standard input")
	}
	return err
}

// readSecret reads the file of -secret-file. A terminal does not show what is typed.
func readSecret(file string) ([]byte, error) {
	if file != "-" {
		return readFile("-secret-file", file)
	}
	text, err := command.ReadSecret(os.Stdin, "Signing secret: ")
	if err != nil {
		return nil, fmt.Errorf("-secret-file: %w", err)
	}
	return text, nil
}

func readFile(name, file string) ([]byte, error) {
	read := func() ([]byte, error) { return os.ReadFile(file) }
	if file == "-" {
		read = func() ([]byte, error) { return io.ReadAll(os.Stdin) }
	}
	content, err := read()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return content, nil
}
