// Command geminihook is for the users of this repository. It runs the functions on this
// machine, sends deliveries to them or to any other receiver, explains why a delivery
// is rejected, and manages the webhook that is registered in the Gemini API.
//
// This package holds flags and wiring. The packages below it do the work.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/geminihook/geminihook/scripts/geminihook/manage"
	"github.com/geminihook/geminihook/scripts/internal/terminal"
	"github.com/geminihook/geminihook/shared/gcptest/cloudrun"
)

func init() { cobra.EnableCommandSorting = false } // help lists commands in the order in which a user needs them

func main() {
	cloudrun.Main() // does not return if serve started this process as a function
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup ignores it
		ends = append(ends, syscall.SIGHUP)
	}
	ctx, release := signal.NotifyContext(context.Background(), ends...)
	context.AfterFunc(ctx, release) // a second signal kills the process
	os.Exit(run(ctx, manage.System(), os.Args[1:]))
}

// run runs the command that args name, and returns its exit status: 0 for success, 1
// for a failure, 2 for wrong usage.
func run(ctx context.Context, app *manage.App, args []string) int {
	root := newRoot(app)
	root.SetArgs(args)
	root.SetOut(app.Out)
	root.SetErr(app.Err)
	return exitStatus(app.Err, root.ExecuteContext(ctx))
}

// exitStatus returns the exit status for err. It writes err to w as one line, unless
// err is nil or the command has already reported it.
func exitStatus(w io.Writer, err error) int {
	var usage usageError
	line := func(more string) {
		fmt.Fprintf(w, "%s: %s%s\n", terminal.Name, strings.ReplaceAll(err.Error(), "\n", "; "), more)
	}
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		line(" (see --help)")
		return 2
	case !errors.Is(err, terminal.ErrReported):
		line("")
	}
	return 1
}

const (
	groupLocal    = "local"
	groupDeployed = "deployed"
)

func newRoot(app *manage.App) *cobra.Command {
	root := &cobra.Command{
		Use:   terminal.Name,
		Short: "Receive Gemini API webhooks: try it, manage a deployment, debug any receiver",
		Long: `geminihook receives Gemini API webhooks in your own Google Cloud project.

This command runs the receiver on this machine, sends deliveries to it or to any other
receiver, explains why a delivery is rejected, and manages the webhook of a deployment.
The exit status is 0 for success, 1 for a failure, and 2 for wrong usage.`,
		Example: `  geminihook serve            run the functions here; then, in another terminal:
  geminihook send             one event of each type
  geminihook doctor           check a deployment`,
		Version:       version(debug.ReadBuildInfo()),
		Args:          knownCommand,
		RunE:          help,
		SilenceErrors: true,
		SilenceUsage:  true,

		SuggestionsMinimumDistance: 2,
	}
	root.SetFlagErrorFunc(flagError)
	root.AddGroup(
		&cobra.Group{ID: groupLocal, Title: "Without a deployment:"},
		&cobra.Group{ID: groupDeployed, Title: "For a deployment:"},
	)
	root.AddCommand(newServe(), newSend(), newHostile(), newExplain(), newListen())
	root.AddCommand(newManage(app)...)
	for _, cmd := range root.Commands() {
		if cmd.Use == cmd.Name() { // it has no file argument
			cmd.ValidArgsFunction = cobra.NoFileCompletions
		}
	}
	return root
}

// help prints the list of commands. It fails, so that a script that forgets the command
// does not go on.
func help(cmd *cobra.Command, _ []string) error {
	return errors.Join(cmd.Help(), usagef("no command"))
}

// knownCommand returns an error for arguments. Cobra calls it with arguments only if
// the command is unknown.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
		return usagef("no command %q; did you mean %s?", args[0], strings.Join(like, " or "))
	}
	return usagef("no command %q", args[0])
}

// version returns the module's version as go install records it. A build from a
// checkout has the commit's pseudo-version. Without version control it is "development
// build".
func version(info *debug.BuildInfo, ok bool) string {
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "development build"
	}
	return info.Main.Version
}
