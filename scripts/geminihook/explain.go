package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/geminihook/geminihook/scripts/geminihook/delivery"
	"github.com/geminihook/geminihook/scripts/geminihook/explain"
	"github.com/geminihook/geminihook/scripts/internal/terminal"
	"github.com/geminihook/geminihook/shared/jwks"
)

// A verifier holds the flags that name the keys a receiver verifies with.
type verifier struct {
	secretFile string
	jwksURL    string
	jwksFile   string
	audiences  []string
}

// newExplain returns the explain command.
func newExplain() *cobra.Command {
	var (
		by     verifier
		asJSON bool
	)
	cmd := &cobra.Command{
		GroupID:    groupLocal,
		Use:        "explain FILE",
		SuggestFor: []string{"why", "verify"},
		Short:      "Explain why a captured request is rejected",
		Long: `Reads a captured request from FILE (- is standard input), runs the functions' checks on
it, and shows the result of each check. It does not send the request anywhere.

Give the receiver's keys: the signing secret of a static endpoint, or the key set of a
dynamic one. The exit status is 1 if the functions would reject the request now, also
for a genuine request whose timestamp is more than 5 minutes old by now.

FILE can be raw HTTP (headers, an empty line, the body), the output of curl -v, or a
request as a program printed it: JSON, Python's repr or JavaScript's console.log, with
"headers" and "body" or "rawBody" somewhere in it, or headers followed by the body. Log
entries and the exports of ngrok and webhook.site are of this kind. The body should be
the exact bytes, in base64 or as a Buffer. If a program parsed the body and printed it
again, its bytes differ from the signed ones.`,
		Example: `  GEMINIHOOK_SECRET=whsec_… geminihook explain request.txt
  geminihook explain request.txt --secret-file secret.txt
  geminihook explain --jwks-file jwks.json --audience https://… - < request.txt
  geminihook explain request.txt --jwks-url https://…/jwks.json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("explain needs one FILE, the captured request")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return by.explain(cmd.Context(), args[0], asJSON)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&by.secretFile, "secret-file", "", "verify v1 with the signing secret (whsec_…) in this `FILE`; - is standard input (default: the variable "+delivery.SecretVariable+")")
	flags.StringVar(&by.jwksURL, "jwks-url", "", "verify v1a and jwt with the key set (JWKS) at this `URL`, which must be https or on this machine")
	flags.StringVar(&by.jwksFile, "jwks-file", "", "verify v1a and jwt with the key set (JWKS) in this `FILE`; - is standard input")
	flags.StringArrayVar(&by.audiences, "audience", nil, "an `AUDIENCE` that the receiver accepts in JWTs; may be repeated")
	flags.BoolVar(&asJSON, "json", false, "write the result as one JSON object: cause, step, verdict, advice and the checks")
	return cmd
}

// explain reports on the request in a file. It returns terminal.ErrReported if the
// functions would reject it.
func (v *verifier) explain(ctx context.Context, file string, asJSON bool) error {
	in := new(input)
	to, err := v.receiver(ctx, in)
	if err != nil {
		return err
	}
	text, err := in.read("FILE", file)
	if err != nil {
		return err
	}
	capture, err := explain.Read(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	report := to.Explain(capture)
	if asJSON {
		err = json.NewEncoder(os.Stdout).Encode(report)
	} else {
		report.Write(os.Stdout, terminal.PaintFor(os.Stdout))
	}
	if err == nil && !report.Genuine {
		err = terminal.ErrReported
	}
	return err
}

// receiver returns the endpoint to verify as: a dynamic one if a key set is given, else
// a static one.
func (v *verifier) receiver(ctx context.Context, in *input) (to explain.Receiver, err error) {
	to.Audiences = v.audiences
	given := 0
	for _, value := range []string{v.secretFile, v.jwksURL, v.jwksFile} {
		if value != "" {
			given++
		}
	}
	switch {
	case given > 1:
		return to, usagef("give one of --secret-file (static endpoint), --jwks-url or --jwks-file (dynamic endpoint), not several")
	case v.jwksURL != "":
		if to.Keys, err = explain.KeySet(ctx, v.jwksURL); err != nil {
			return to, fmt.Errorf("--jwks-url: %w", err)
		}
		return to, nil
	case v.jwksFile != "":
		text, err := in.read("--jwks-file", v.jwksFile)
		if err != nil {
			return to, err
		}
		if to.Keys, err = jwks.Parse(text); err != nil {
			return to, fmt.Errorf("--jwks-file %s: %w", v.jwksFile, err)
		}
		return to, nil
	}
	if v.secretFile != "" { // not trimmed: white space in the secret may be the cause
		text, err := in.read("--secret-file", v.secretFile)
		if err == nil && len(bytes.TrimSpace(text)) == 0 {
			err = fmt.Errorf("--secret-file: %s is empty", v.secretFile)
		}
		to.Secrets = []string{string(text)}
		return to, err
	}
	secret := os.Getenv(delivery.SecretVariable)
	if to.Secrets = []string{secret}; secret == "" {
		err = usagef("explain needs the receiver's keys: give --secret-file or set %s (static endpoint), or give --jwks-url or --jwks-file (dynamic endpoint)", delivery.SecretVariable)
	}
	return to, err
}
