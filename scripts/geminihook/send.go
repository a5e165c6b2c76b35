package main

import (
	"github.com/spf13/cobra"

	"github.com/geminihook/geminihook/scripts/geminihook/delivery"
	"github.com/geminihook/geminihook/scripts/geminihook/send"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// A sending is the flags of send.
type sending struct {
	signer
	send.Options
	bodyFile string
}

func newSend() *cobra.Command {
	s := new(sending)
	cmd := &cobra.Command{
		GroupID:    groupLocal,
		Use:        "send",
		SuggestFor: []string{"deliver", "post"},
		Short:      "Sign events as Gemini does, and post them",
		Long: `Signs events as Gemini does and posts them. Without flags it finds the serve that
runs on this machine (the newest, if there are several) and sends one event of each of
the nine types to both endpoints: static, signed v1, and dynamic, signed v1a. It exits
with 1 if a delivery was not accepted.

For any other receiver give --url, and a secret (v1) or a private key whose public half
the receiver knows (v1a, jwt). The secret comes from --secret-file or the environment
variable ` + delivery.SecretVariable + `, never from the command line, which ps shows.`,
		Example: `  geminihook send
  geminihook send --type video.generated --scheme jwt
  geminihook send --count 10000 --concurrency 50
  geminihook send --body-file event.json --retry
  geminihook send --url http://127.0.0.1:8081          the serve on another port
  GEMINIHOOK_SECRET=whsec_… geminihook send --url https://…/NAME`,
		Args: noArgs,
		RunE: s.run,
	}
	s.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&s.Type, "type", "", "send events of this `TYPE` only, such as video.generated; any is possible")
	flags.StringVar(&s.bodyFile, "body-file", "", "send the bytes of this `FILE` as the body; - is standard input")
	flags.IntVar(&s.Count, "count", 0, "send `N` deliveries, the types in turn (default: one of each)")
	flags.IntVar(&s.Concurrency, "concurrency", 1, "send up to `N` deliveries at a time")
	flags.BoolVar(&s.Retry, "retry", false, "repeat each delivery until it is answered 2xx, with growing pauses, for up to 24 hours")
	flags.DurationVar(&s.FirstPause, "retry-pause", send.FirstPause, "the first pause of --retry, a `DURATION` from which all others follow")
	jsonFlag(flags, &s.JSON, "one for each attempt")
	complete(cmd, "type", webhooktest.Types)
	return cmd
}

func (s *sending) run(cmd *cobra.Command, _ []string) error {
	if s.Count < 0 || s.Concurrency < 1 || s.FirstPause <= 0 {
		return usagef("--count, --concurrency or --retry-pause is too small")
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
