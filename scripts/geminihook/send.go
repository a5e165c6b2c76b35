package main

import (
	"github.com/spf13/cobra"

	"github.com/geminihook/geminihook/scripts/geminihook/delivery"
	"github.com/geminihook/geminihook/scripts/geminihook/send"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// A sending holds the flags of send.
type sending struct {
	signer
	send.Options
	bodyFile string
}

// newSend returns the send command.
func newSend() *cobra.Command {
	s := new(sending)
	cmd := &cobra.Command{
		GroupID:    groupLocal,
		Use:        "send",
		SuggestFor: []string{"deliver", "post"},
		Short:      "Sign events as Gemini does and post them to a receiver",
		Long: `Signs events as Gemini does and posts them. Without flags, it finds the serve that runs
on this machine (the newest if there are several) and sends one event of each of the
nine types to both endpoints: signed v1 to the static one, signed v1a to the dynamic
one. The exit status is 1 if a delivery was not accepted.

For any other receiver, give --url, and a signing secret (v1) or a private key whose
public key the receiver accepts (v1a, jwt). Put the secret into a file (--secret-file)
or the environment variable ` + delivery.SecretVariable + `: command-line arguments are visible to
other users of the machine.`,
		Example: `  geminihook send
  geminihook send --type video.generated --scheme jwt
  geminihook send --count 10000 --concurrency 50
  geminihook send --body-file event.json --retry
  geminihook send --url http://127.0.0.1:8081          the serve on port 8081
  GEMINIHOOK_SECRET=whsec_… geminihook send --url https://…/NAME`,
		Args: noArgs,
		RunE: s.run,
	}
	s.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&s.Type, "type", "", "send events of this `TYPE` only, such as video.generated; unknown types are allowed")
	flags.StringVar(&s.bodyFile, "body-file", "", "send the bytes of this `FILE` as the body; - is standard input")
	flags.IntVar(&s.Count, "count", 0, "send `N` deliveries, of each type in turn (default: one of each type)")
	flags.IntVar(&s.Concurrency, "concurrency", 1, "have up to `N` deliveries in flight")
	flags.BoolVar(&s.Retry, "retry", false, "retry each delivery with exponential back-off until the answer is 2xx, for up to 24 hours")
	flags.DurationVar(&s.FirstPause, "retry-pause", send.FirstPause, "with --retry: the first pause, a `DURATION`; later ones are multiples of it")
	jsonFlag(flags, &s.JSON, "one for each attempt")
	complete(cmd, "type", webhooktest.Types)
	return cmd
}

// run checks the flags and sends the deliveries.
func (s *sending) run(cmd *cobra.Command, _ []string) error {
	switch {
	case s.Count < 0:
		return usagef("--count: want 0 or more")
	case s.Concurrency < 1:
		return usagef("--concurrency: want 1 or more")
	case s.FirstPause <= 0:
		return usagef("--retry-pause: want more than 0")
	}
	if err := exclusive(cmd.Flags(), "type", "body-file"); err != nil {
		return err
	}
	in := new(input)
	to, err := s.options(in)
	if err != nil {
		return err
	}
	if s.Body, err = in.read("--body-file", s.bodyFile); err != nil {
		return err
	}
	target, err := delivery.Find(cmd.Context(), to)
	if err != nil {
		return err
	}
	return send.Run(cmd.Context(), target, s.Options)
}
