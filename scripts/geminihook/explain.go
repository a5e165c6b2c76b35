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

// A verifier is the flags that say what a receiver verifies by.
type verifier struct {
	secretFile string
	jwksURL    string
	jwksFile   string
	audiences  []string
}

func newExplain() *cobra.Command {
	var (
		by     verifier
		asJSON bool
	)
	cmd := &cobra.Command{
		GroupID:    groupLocal,
		Use:        "explain FILE",
		SuggestFor: []string{"why", "verify"},
		Short:      "Say why a captured request is rejected",
		Long: `Reads a captured request from FILE (- is standard input) and says step by step whether
the functions would accept it now, and if not, why. It needs what the receiver verifies
by: a secret for a static endpoint, a key set for a dynamic one. It sends nothing. It
exits with 1 if the request would be rejected, a genuine one that has grown old
included.

A capture is raw HTTP (headers, an empty line, the body), the output of curl -v, or what
a program printed of a request: JSON, Python's repr or JavaScript's console.log, with
"headers" and "body" or "rawBody" somewhere in it, or headers followed by the body. Log
entries, ngrok's and webhook.site's exports are such. Best is the body byte for byte, in
base64 or as a Buffer: a body that was parsed is no longer what was signed.`,
		Example: `  GEMINIHOOK_SECRET=whsec_… geminihook explain request.txt
  geminihook explain request.txt --secret-file secret.txt
  geminihook explain --jwks-file jwks.json --audience https://… - < request.txt
  geminihook explain request.txt --jwks-url https://…/jwks.json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("explain needs one FILE, which holds the request")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return by.explain(cmd.Context(), args[0], asJSON)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&by.secretFile, "secret-file", "", "verify v1 by the secret, whsec_…, in this `FILE`; - is standard input (default: "+delivery.SecretVariable+")")
	flags.StringVar(&by.jwksURL, "jwks-url", "", "verify v1a and jwt by the key set at this `URL`, https or loopback")
	flags.StringVar(&by.jwksFile, "jwks-file", "", "verify v1a and jwt by the key set in this `FILE`; - is standard input")
	flags.StringArrayVar(&by.audiences, "audience", nil, "an `AUDIENCE` that the receiver accepts in tokens; may be repeated")
	flags.BoolVar(&asJSON, "json", false, "write the result as JSON: cause, step, verdict, advice and the checks")
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

// receiver returns the endpoint that the request was for: a dynamic one if there is a
// key set.
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
		return to, usagef("a static endpoint has a secret, a dynamic one a key set: give one of --secret-file, --jwks-url, --jwks-file")
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
	if v.secretFile != "" { // as it is, since what stands around it may be the cause
		text, err := in.read("--secret-file", v.secretFile)
		if err == nil && len(bytes.TrimSpace(text)) == 0 {
			err = fmt.Errorf("--secret-file: %s is empty", v.secretFile)
		}
		to.Secrets = []string{string(text)}
		return to, err
	}
	secret := os.Getenv(delivery.SecretVariable)
	if to.Secrets = []string{secret}; secret == "" {
		err = usagef("explain needs what the receiver verifies by: --secret-file or %s, or --jwks-url or --jwks-file", delivery.SecretVariable)
	}
	return to, err
}
