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

// A usageError says that a command was typed wrongly.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// flagError returns the error of a flag. The flag package of Go takes one dash, which
// many are used to.
func flagError(_ *cobra.Command, err error) error {
	if text := err.Error(); strings.HasPrefix(text, "unknown shorthand flag") && !strings.HasSuffix(text, "in -") {
		return usagef("%w: flags begin with two dashes", err)
	}
	return usageError{err}
}

// noArgs fails if there is an argument: everything is a flag.
func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("unexpected argument %q", args[0])
	}
	return nil
}

// exclusive fails if both flags are given.
func exclusive(flags *pflag.FlagSet, a, b string) error {
	if flags.Changed(a) && flags.Changed(b) {
		return usagef("--%s and --%s do not go together", a, b)
	}
	return nil
}

func jsonFlag(flags *pflag.FlagSet, to *bool, lines string) {
	flags.BoolVar(to, "json", false, "write JSON lines: "+lines)
}

// fixed completes a flag or an argument with one of a few words.
func fixed(words ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
}

// complete registers the words of a flag for the shell's completion.
func complete(cmd *cobra.Command, flag string, words []string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, fixed(words...)); err != nil {
		panic(err) // there is no such flag
	}
}

// An input reads the files that flags name. The name - is standard input, once.
type input struct{ stdin string }

// read returns the content of the file that a flag names, nil if it names none.
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

// text returns the content of a file without the space around it, empty if the flag
// names none. It fails if there is only space: a secret that is missing must not stand
// for the default.
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

// A signer is the flags that say where to deliver to, and what to sign with.
type signer struct {
	url        string
	secretFile string
	keyFile    string
	audience   string
	scheme     string
}

func (s *signer) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&s.url, "url", "", "the receiver's `URL`, for v1a and jwt with its token (default: the running serve)")
	flags.StringVar(&s.secretFile, "secret-file", "", "sign v1 with the secret, whsec_…, in this `FILE`; - is standard input (default: serve's, elsewhere "+delivery.SecretVariable+")")
	flags.StringVar(&s.keyFile, "key-file", "", "sign v1a or jwt with the private key in this `FILE`: Ed25519, for jwt also RSA or P-256, in PKCS #8 PEM; - is standard input")
	flags.StringVar(&s.audience, "audience", "", "the `AUDIENCE` of tokens (default: that of serve, else the URL)")
	flags.StringVar(&s.scheme, "scheme", "", "sign in this `SCHEME` only: v1 (static), v1a or jwt (dynamic)")
	var names []string
	for _, scheme := range delivery.Schemes {
		names = append(names, string(scheme))
	}
	complete(cmd, "scheme", names)
}

// options returns what the flags say.
func (s *signer) options(in *input) (o delivery.Options, err error) {
	o = delivery.Options{URL: s.url, Audience: s.audience, Scheme: webhook.Scheme(s.scheme), DefaultSecret: os.Getenv(delivery.SecretVariable)}
	if s.scheme != "" && !slices.Contains(delivery.Schemes, o.Scheme) {
		return o, usagef("--scheme %s: none of v1, v1a, jwt", s.scheme)
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
