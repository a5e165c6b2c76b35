package manage

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/api/monitoring/v3"
	"google.golang.org/api/pubsub/v1"

	"github.com/geminihook/geminihook/scripts/internal/terminal"
	"github.com/geminihook/geminihook/shared/publish"
)

// topics checks that the topic of each route exists. For a topic of another project,
// Terraform creates neither the topic nor the grant to publish to it.
func (d *deployment) topics(ctx context.Context) (string, error) {
	client, err := pubsub.NewService(ctx, d.Google...)
	if err != nil {
		return "", err
	}
	routes, err := publish.RoutesIn(d.Values["project"])(d.Values["routes"])
	if err != nil {
		return "", err
	}
	names := slices.Compact(slices.Sorted(maps.Values(routes)))
	finding := fmt.Sprintf("%d found", len(names))
	for _, name := range names {
		_, err := client.Projects.Topics.Get(name).Context(ctx).Do()
		own := strings.HasPrefix(name, "projects/"+d.Values["project"]+"/")
		switch {
		case err == nil && own:
		case err == nil:
			finding += "; " + d.foreignTopic(ctx, client, name)
		case own:
			return "", missing(name, err)
		case notFound(err):
			return "", errTodo("create it: Terraform does not create topics of another project", "%s, a topic of another project, does not exist", name)
		case forbidden(err):
			return "", errTodo("to check this, you need roles/pubsub.viewer on it", "%s, a topic of another project: %v", name, short(err))
		default:
			return "", err
		}
	}
	return finding, nil
}

// foreignTopic reports whether the IAM policy of another project's topic lets the
// functions publish to it. If not, that project's own policy may do so, which is not
// checked.
func (d *deployment) foreignTopic(ctx context.Context, client *pubsub.Service, name string) string {
	policy, err := client.Projects.Topics.GetIamPolicy(name).Context(ctx).Do()
	if err != nil {
		return fmt.Sprintf("%s is another project's, and its grants cannot be read: %v", name, short(err))
	}
	may := make(map[string]bool)
	for _, binding := range policy.Bindings {
		for _, member := range binding.Members {
			may[member] = may[member] || slices.Contains(publishingRoles, binding.Role)
		}
	}
	var without []string
	for _, entry := range d.Values.list("service_accounts") {
		account, email, _ := strings.Cut(entry, "=")
		if slices.Contains(publishingAccounts, account) && !may["serviceAccount:"+email] {
			without = append(without, email)
		}
	}
	if len(without) == 0 {
		return fmt.Sprintf("%s is another project's, and the functions may publish to it", name)
	}
	return fmt.Sprintf("%s is another project's, and its own policy does not allow %s to publish: unless that project's policy does, grant roles/pubsub.publisher",
		name, strings.Join(without, ", "))
}

var (
	// publishingRoles are the predefined roles that allow publishing to a topic.
	publishingRoles = []string{"roles/pubsub.publisher", "roles/pubsub.editor", "roles/pubsub.admin", "roles/editor", "roles/owner"}

	// publishingAccounts are the service accounts that publish events, by their keys in
	// Terraform's output service_accounts.
	publishingAccounts = []string{"static", "dynamic", "reconcile"}
)

// subscriptions checks that each subscription exists, is attached to its topic, and has
// a dead-letter topic.
func (d *deployment) subscriptions(ctx context.Context) (string, error) {
	client, err := pubsub.NewService(ctx, d.Google...)
	if err != nil {
		return "", err
	}
	project := "projects/" + d.Values["project"]
	pairs := d.Values.list("subscriptions")
	for _, pair := range pairs {
		topic, name, _ := strings.Cut(pair, "=")
		res, err := client.Projects.Subscriptions.Get(project + "/subscriptions/" + name).Context(ctx).Do()
		switch {
		case err != nil:
			return "", missing(name, err)
		case res.Topic != project+"/topics/"+topic:
			return "", errTodo("terraform apply", "%s is attached to %s, not to %s", name, res.Topic, topic)
		case res.DeadLetterPolicy == nil:
			return "", errTodo("terraform apply", "%s has no dead-letter topic", name)
		}
	}
	if len(pairs) == 0 {
		return "Terraform created none", nil
	}
	return fmt.Sprintf("%d found, with dead-letter topics", len(pairs)), nil
}

// deadLetters checks that there are no dead letters, and otherwise reports their number
// and age. It reads metrics, which are some minutes old. Pulling messages would hide
// them from other subscribers for a while.
func (d *deployment) deadLetters(ctx context.Context) (string, error) {
	client, err := monitoring.NewService(ctx, d.Google...)
	if err != nil {
		return "", err
	}
	n, _, err := d.newest(ctx, client, "num_undelivered_messages")
	if err != nil {
		return "", err
	}
	if n == 0 {
		return "none", nil
	}
	since := ""
	if age, at, err := d.newest(ctx, client, "oldest_unacked_message_age"); err == nil && age > 0 {
		since = ", since " + at.Add(-time.Duration(age)*time.Second).Local().Format("2006-01-02 15:04 MST")
	}
	return "", errTodo(terminal.Command("redrive --dry-run")+"; terraform/runbooks/dead-letters.md", "%d on %s%s", n, d.Values["dead_letter_subscription"], since)
}

// newest returns the newest value, and its time, of a metric of the dead-letter
// subscription. It returns 0 if there is no value of the last 10 minutes.
func (d *deployment) newest(ctx context.Context, client *monitoring.Service, metric string) (n int64, at time.Time, err error) {
	res, err := client.Projects.TimeSeries.List("projects/" + d.Values["project"]).
		Filter(fmt.Sprintf(`metric.type="pubsub.googleapis.com/subscription/%s" AND resource.labels.subscription_id=%q`, metric, d.Values["dead_letter_subscription"])).
		IntervalStartTime(d.Now().Add(-10 * time.Minute).UTC().Format(time.RFC3339)).
		IntervalEndTime(d.Now().UTC().Format(time.RFC3339)).
		Context(ctx).Do()
	if err != nil {
		return 0, at, err
	}
	at = d.Now()
	for _, series := range res.TimeSeries {
		if len(series.Points) == 0 {
			continue
		}
		newest := series.Points[0] // the newest point comes first
		n += value(newest.Value.Int64Value)
		if newest.Interval != nil {
			if ended, err := time.Parse(time.RFC3339, newest.Interval.EndTime); err == nil {
				at = ended
			}
		}
	}
	return n, at, nil
}

// missing returns err, and if err is Google's 404, an error with the next step.
func missing(name string, err error) error {
	if notFound(err) {
		return errTodo("terraform apply", "%s does not exist", name)
	}
	return err
}
