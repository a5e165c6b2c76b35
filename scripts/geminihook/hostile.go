package main

import (
	"github.com/spf13/cobra"

	"github.com/geminihook/geminihook/scripts/geminihook/delivery"
	"github.com/geminihook/geminihook/scripts/geminihook/hostile"
)

func newHostile() *cobra.Command {
	var (
		from signer
		o    hostile.Options
	)
	cmd := &cobra.Command{
		GroupID:    groupLocal,
		Use:        "hostile",
		SuggestFor: []string{"attack", "test"},
		Short:      "Send a receiver all that it must reject, repeat or endure, and judge its answers",
		Long: `Sends a receiver genuine deliveries with one thing changed in each, such as another
body, an old timestamp or a forged token, and judges every answer by its status. Without
--url the receiver is the serve that runs on this machine.

It works with any Standard Webhooks receiver: give its --url, and its secret or a
private key whose public half it knows. Genuine deliveries are among those sent, so
point it at a receiver for tests. Then the cases run that hold for all receivers, any
2xx counts as accepted and any 4xx as rejected. --exact asks for geminihook's own
statuses, limits and headers too; it is the default with serve.

It exits with 1 if an answer was not as it should be.`,
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
	cmd.Flags().BoolVar(&o.Exact, "exact", false, "ask for geminihook's own statuses, limits and headers (default: with serve)")
	jsonFlag(cmd.Flags(), &o.JSON, "one for each case")
	return cmd
}
