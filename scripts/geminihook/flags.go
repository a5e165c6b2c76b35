package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/geminihook/geminihook/scripts/geminihook/delivery"
	"github.com/geminihook/geminihook/scripts/internal/terminal"
	"github.com/geminihook/geminihook/shared/webhook"
)

// A usageError is an error in the command line: exit status 2.
type usageError struct{ error }

// usagef returns a usageError.
func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// flagError returns the usage error for a flag that cannot be parsed. Go's own flag
// package accepts flags with one dash, so the error for such a flag explains the second
// dash.
func flagError(_ *cobra.Command, err error) error {
	if text := err.Error(); strings.HasPrefix(text, "unknown shorthand flag") && !strings.HasSuffix(text, "in -") {
		return usagef("%w: flags begin with two dashes", err)
	}
	return usageError{err}
}

// noArgs returns an error if there is an argument. All inputs of these commands are
// flags.
func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("unexpected argument %q", args[0])
	}
	return nil
}

// exclusive returns an error if both flags are given.
func exclusive(flags *pflag.FlagSet, a, b string) error {
	if flags.Changed(a) && flags.Changed(b) {
		return usagef("--%s and --%s exclude each other", a, b)
	}
	return nil
}

// jsonFlag defines --json. lines describes the lines for the help.
func jsonFlag(flags *pflag.FlagSet, to *bool, lines string) {
	flags.BoolVar(to, "json", false, "write JSON lines: "+lines)
}

// fixed returns a completion that offers words only.
func fixed(words ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
}

// complete registers the words that a shell offers for a flag.
func complete(cmd *cobra.Command, flag string, words []string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, fixed(words...)); err != nil {
		panic(err) // the flag is not defined
	}
}

// An input reads the files that flags name. "-" is standard input, which one flag can
// use.
type input struct{ stdin string } // stdin is the flag that has read standard input

// read returns the content of the file that a flag names. It returns nil if file is
// empty, and not nil otherwise, even if the content is.
func (in *input) read(flag, file string) ([]byte, error) {
	var content []byte
	var err error
	switch {
	case file == "":
		return nil, nil
	case file == "-" && in.stdin != "":
		return nil, usagef("%s and %s cannot both be standard input", in.stdin, flag)
	case file == "-":
		in.stdin = flag
		content, err = terminal.ReadSecret(os.Stdin, flag+": ")
	default:
		content, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return append([]byte{}, content...), nil // never nil
}

// text returns the content of a file without surrounding white space, or "" if file is
// empty. It fails if the content is blank: an empty secret file must not select the
// default.
func (in *input) text(flag, file string) (string, error) {
	content, err := in.read(flag, file)
	text := strings.TrimSpace(string(content))
	if err == nil && file != "" && text == "" {
		err = fmt.Errorf("%s: %s is empty", flag, file)
	}
	return text, err
}

// texts returns the text of each file.
func (in *input) texts(flag string, files []string) (all []string, err error) {
	for _, file := range files {
		text, err := in.text(flag, file)
		if err != nil {
			return nil, err
		}
		all = append(all, text)
	}
	return all, nil
}

// A signer holds the flags that select a receiver and the keys to sign with.
type signer struct {
	url        string
	secretFile string
	keyFile    string
	audience   string
	scheme     string
}

// add defines the flags.
func (s *signer) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&s.url, "url", "", "the receiver's `URL`; for v1a and jwt, include the URL token (default: the running serve)")
	flags.StringVar(&s.secretFile, "secret-file", "", "sign v1 with the signing secret (whsec_…) in this `FILE`; - is standard input (default: the running serve's; with another --url, the variable "+delivery.SecretVariable+")")
	flags.StringVar(&s.keyFile, "key-file", "", "sign v1a or jwt with the private key in this `FILE`, in PKCS #8 PEM: Ed25519, or for jwt also RSA or P-256; - is standard input (default: the running serve's)")
	flags.StringVar(&s.audience, "audience", "", "the `AUDIENCE` (aud) of JWTs (default: the running serve's, otherwise the URL)")
	flags.StringVar(&s.scheme, "scheme", "", "sign with this `SCHEME` only: v1 (static), v1a or jwt (dynamic)")
	var names []string
	for _, scheme := range delivery.Schemes {
		names = append(names, string(scheme))
	}
	complete(cmd, "scheme", names)
}

// options returns the options that the flags select.
func (s *signer) options(in *input) (o delivery.Options, err error) {
	o = delivery.Options{URL: s.url, Audience: s.audience, Scheme: webhook.Scheme(s.scheme), DefaultSecret: os.Getenv(delivery.SecretVariable)}
	if s.scheme != "" && !slices.Contains(delivery.Schemes, o.Scheme) {
		return o, usagef("--scheme %s: want v1, v1a or jwt", s.scheme)
	}
	if s.url != "" {
		if _, err := delivery.ParseURL(s.url); err != nil {
			return o, usageError{err}
		}
	}
	if o.Secret, err = in.text("--secret-file", s.secretFile); err != nil {
		return o, err
	}
	o.Key, err = in.read("--key-file", s.keyFile)
	return o, err
}
