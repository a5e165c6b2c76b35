package main

import (
	"github.com/spf13/cobra"

	"github.com/geminihook/geminihook/scripts/geminihook/delivery"
	"github.com/geminihook/geminihook/scripts/geminihook/hostile"
)

// newHostile returns the hostile command.
func newHostile() *cobra.Command {
	var (
		from signer
		o    hostile.Options
	)
	cmd := &cobra.Command{
		GroupID:    groupLocal,
		Use:        "hostile",
		SuggestFor: []string{"attack", "test"},
		Short:      "Test a receiver with forged, stale, repeated and oversized deliveries",
		Long: `Sends deliveries that differ from a genuine one in one detail, such as another body, an
old timestamp or a forged JWT, and checks the status of each answer. Without --url, the
receiver is the serve that runs on this machine.

With --url, it tests any Standard Webhooks receiver: give the receiver's signing secret,
or a private key whose public key the receiver accepts. Some deliveries are genuine and
the receiver will process them, so use a test deployment. In this mode only the cases
that apply to all receivers run, any 2xx counts as accepted, and any 4xx as rejected.

With --exact, the default for serve, it also expects geminihook's own statuses, limits
and headers. The exit status is 1 if any answer was unexpected.`,
		Example: `  geminihook hostile
  geminihook hostile --scheme jwt
  geminihook hostile --url http://127.0.0.1:3000/webhook --secret-file secret.txt
  GEMINIHOOK_SECRET=whsec_… geminihook hostile --exact --url https://…/NAME`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			to, err := from.options(new(input))
			if err != nil {
				return err
			}
			to.AllSchemes = true
			target, err := delivery.Find(cmd.Context(), to)
			if err != nil {
				return err
			}
			if !cmd.Flags().Changed("exact") {
				o.Exact = target.Serve
			}
			return hostile.Run(cmd.Context(), target, o)
		},
	}
	from.add(cmd)
	cmd.Flags().BoolVar(&o.Exact, "exact", false, "expect geminihook's own statuses, limits and headers (default: only for the running serve)")
	jsonFlag(cmd.Flags(), &o.JSON, "one for each case")
	return cmd
}
