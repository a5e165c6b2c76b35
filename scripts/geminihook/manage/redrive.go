package manage

import (
	"context"
	"fmt"
	"os"
	"path"
	"time"

	"github.com/geminihook/geminihook/scripts/geminihook/redrive"
	"github.com/geminihook/geminihook/scripts/internal/messages"
	"github.com/geminihook/geminihook/scripts/internal/pubsubclient"
	"github.com/geminihook/geminihook/scripts/internal/terminal"
)

// Redrive moves up to Limit dead letters back to the topics that they came from. With
// DryRun it moves no letter. It returns terminal.ErrReported if a letter stays because
// its topic is unknown or publishing failed.
func (inv *Invocation) Redrive(ctx context.Context) error {
	clients, err := pubsubclient.Open(ctx)
	if err != nil {
		return err
	}
	defer clients.Close()
	if host := os.Getenv(pubsubEmulator); host != "" {
		fmt.Fprintf(inv.Err, "using the emulator at %s, because %s is set\n", host, pubsubEmulator)
	}
	name := inv.Values["dead_letter_subscription"]
	r := redrive.Redrive{
		Clients:      clients,
		Project:      inv.Values["project"],
		Subscription: "projects/" + inv.Values["project"] + "/subscriptions/" + name,
		Limit:        inv.Limit,
		DryRun:       inv.DryRun,
		Began:        inv.Now(),
		Report:       inv.reportLetter,
	}
	s, err := r.Run(ctx)
	inv.reportRedrive(&s)
	switch {
	case ctx.Err() != nil:
		return &failure{ctx.Err(), "letters that were not moved are still on " + name, terminal.Command("redrive")}
	case notFound(err):
		return missing(name, err)
	case err != nil:
		return fmt.Errorf("Pub/Sub: %w", err)
	case s.Stay > 0:
		return terminal.ErrReported
	}
	return nil
}

// reportLetter writes a line about a dead letter.
func (inv *Invocation) reportLetter(l redrive.Letter) {
	a := l.Message.Attributes
	word := inv.letterWord(&l)
	reason := ""
	if l.Err != nil {
		reason = l.Err.Error()
	}
	if inv.JSON {
		inv.line(struct {
			Event     string    `json:"event"`
			MessageID string    `json:"message_id"`
			Type      string    `json:"ce_type"`
			ID        string    `json:"ce_id"`
			Since     time.Time `json:"since"` // when it became a dead letter
			From      string    `json:"from"`  // a subscription, in full
			To        string    `json:"to"`    // a topic, in full
			Error     string    `json:"error"`
		}{word, l.Message.MessageId, a["ce-type"], a["ce-id"], l.Message.PublishTime.AsTime(), l.From, l.To, reason})
		return
	}
	text := fmt.Sprintf("%s  %s", messages.Pad(a["ce-type"], 27), messages.Pad(a["ce-id"], 40))
	if l.From != "" {
		text += "  from " + messages.Printable(path.Base(l.From))
	}
	if l.To != "" {
		text += " to " + path.Base(l.To)
	}
	if reason != "" {
		text += ": " + messages.Printable(reason)
	}
	inv.say(word, "%s", text)
}

// letterWord returns the keyword for a letter's outcome.
func (inv *Invocation) letterWord(l *redrive.Letter) string {
	switch {
	case l.To != "" && inv.DryRun:
		return "would move"
	case l.To != "":
		return "moved"
	case l.Late:
		return "late"
	}
	return "stays"
}

// reportRedrive writes the totals of a run.
func (inv *Invocation) reportRedrive(s *redrive.Summary) {
	if inv.JSON {
		inv.line(struct {
			Event   string `json:"event"`
			Moved   int    `json:"moved"`
			Stay    int    `json:"stay"`
			Late    int    `json:"late"`
			Limited bool   `json:"limited"`
			DryRun  bool   `json:"dry_run"`
		}{"summary", s.Moved, s.Stay, s.Late, s.Limited, inv.DryRun})
		return
	}
	moved := "moved"
	if inv.DryRun {
		moved = "to be moved"
	}
	inv.say("letters", "%d %s, %d stay, %d arrived after the start and stay", s.Moved, moved, s.Stay, s.Late)
	if s.Limited {
		inv.say("next", "there may be more: run the command again, or give a larger --limit")
	}
}
