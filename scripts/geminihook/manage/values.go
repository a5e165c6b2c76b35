package manage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// terraformTimeout bounds the reading of outputs, which may be in a bucket.
const terraformTimeout = time.Minute

// An Output is one of Terraform's outputs, and the flag that gives it instead.
type Output struct {
	Flag     string
	Usage    string
	Repeated bool // the output is a list or a map, the flag one entry
}

// Outputs are those that the commands need, by name.
var Outputs = map[string]Output{
	"project":                  {"project", "the Google Cloud project's `ID`", false},
	"static_function":          {"static-function", "the static function's `NAME`", false},
	"static_url":               {"static-url", "the static function's `URL`", false},
	"dynamic_url":              {"dynamic-url", "the dynamic function's `URL`, without a token", false},
	"signing_secret_name":      {"signing-secret-name", "the `NAME` of the secret whose enabled versions sign the webhook's deliveries", false},
	"url_token_secret_name":    {"url-token-secret-name", "the `NAME` of the secret whose enabled versions are the tokens in the dynamic URL", false},
	"api_key_secret_name":      {"api-key-secret-name", "the `NAME` of the secret that the reconciler reads its Gemini API key from", false},
	"url_token_required":       {"url-token-required", "whether the dynamic function requires a token, as `BOOL`: true or false", false},
	"routes":                   {"route", "a route, as `TYPE=TOPIC`; may be repeated", true},
	"subscriptions":            {"topic-subscription", "a topic's subscription, as `TOPIC=SUBSCRIPTION`; may be repeated", true},
	"dead_letter_subscription": {"dead-letter-subscription", "the `SUBSCRIPTION` that holds dead letters", false},
	"service_accounts":         {"service-account", "a service account, as `NAME=EMAIL`, the name being static, dynamic or reconcile; may be repeated", true},
	"firestore_database":       {"firestore-database", "the `DATABASE` that holds the records of deliveries", false},
	"firestore_collection":     {"firestore-collection", "the `COLLECTION` in it", false},
	"reconcile":                {"mode", "what a pass does with missed events, as `MODE`: report, auto or publish", false},
	"grace":                    {"grace", "how long after a job's end its event counts as missed, as `DURATION`", false},
	"look_back":                {"look-back", "for how long after its end a batch is looked at, as `DURATION`", false},
	"record_retention":         {"record-retention", "how long records of deliveries are kept, as `DURATION`", false},
	"reenable":                 {"reenable", "whether a pass enables the webhook if Gemini disabled it, as `BOOL`: true or false", false},
	"static_webhook":           {"static-webhook", "whether there is to be a webhook at the static function's URL, as `BOOL`: true or false", false},
	"publish_unknown":          {"publish-unknown", "whether a pass publishes events for statuses of which none is documented, as `BOOL`: true or false", false},
	"jobs_subscription":        {"jobs-subscription", "the `SUBSCRIPTION` that holds the names of started jobs", false},
	"jobs_dead_letter_topic":   {"jobs-dead-letter-topic", "the `TOPIC` for copies of messages that name no job", false},
	"jobs_collection":          {"jobs-collection", "the `COLLECTION` of registered jobs", false},
	"state_collection":         {"state-collection", "the `COLLECTION` of what passes remember", false},
	"services":                 {"service", "a `SERVICE` that must be on, such as pubsub.googleapis.com; may be repeated", true},
}

// Values are the known outputs, by name. Entries of lists and maps are joined with
// commas, which none of them contains.
type Values map[string]string

// Set gives a value to an output, or to one that is Repeated one more entry.
func (v Values) Set(name, value string) {
	if v[name] != "" && Outputs[name].Repeated {
		value = v[name] + "," + value
	}
	v[name] = value
}

// list returns the parts of a value.
func (v Values) list(name string) []string {
	return strings.FieldsFunc(v[name], func(r rune) bool { return r == ',' })
}

// complete fills in from Terraform's outputs what is needed and was not given.
func (v Values) complete(ctx context.Context, needed []string, folder string) error {
	missing := v.missing(needed)
	if len(missing) == 0 {
		return nil
	}
	outputs, err := readOutputs(ctx, folder)
	for _, name := range missing {
		if value, ok := outputs[name]; ok {
			v[name] = value
		}
	}
	missing = v.missing(needed)
	switch {
	case len(missing) == 0:
		return nil
	case err == nil && len(outputs) == 0:
		err = fmt.Errorf("no outputs in %s", folder)
	case err == nil && outputs["reconcile"] == "off":
		err = errors.New("reconcile is off in this installation, so that it has no reconciler")
	case err == nil:
		err = fmt.Errorf("the outputs in %s are of another version", folder)
	}
	for i, name := range missing {
		missing[i] = "--" + Outputs[name].Flag
	}
	return &failure{
		err:  err,
		next: fmt.Sprintf("terraform -chdir=%s apply, or give %s", folder, strings.Join(missing, ", ")),
	}
}

// missing returns those of the needed outputs that are not known. A list or a map may be
// known to be empty.
func (v Values) missing(needed []string) []string {
	return slices.DeleteFunc(slices.Clone(needed), func(name string) bool {
		value, ok := v[name]
		return value != "" || ok && Outputs[name].Repeated
	})
}

// readOutputs asks Terraform for the outputs of the configuration in a folder: none
// before the first apply.
func readOutputs(ctx context.Context, folder string) (Values, error) {
	ctx, cancel := context.WithTimeout(ctx, terraformTimeout)
	defer cancel()
	var complaint bytes.Buffer
	cmd := exec.CommandContext(ctx, "terraform", "-chdir="+folder, "output", "-json", "-no-color")
	cmd.Stderr = &complaint
	text, err := cmd.Output()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, errors.New("terraform is not installed, which knows the deployment")
	case err != nil:
		return nil, fmt.Errorf("terraform output: %w: %s", err, strings.Join(strings.Fields(complaint.String()), " "))
	}
	var outputs map[string]struct{ Value any }
	if err := json.Unmarshal(text, &outputs); err != nil {
		return nil, fmt.Errorf("terraform output: %w", err)
	}
	values := make(map[string]any)
	for name, output := range outputs {
		values[name] = output.Value
	}
	if values, err = installation(values); err != nil {
		return nil, err
	}
	v := Values{}
	for name := range Outputs {
		if value := values[name]; value != nil {
			v[name] = flat(value)
		}
	}
	return v, nil
}

// installation returns the outputs of the one installation that a configuration's outputs
// describe: they themselves, or the value of one that holds all outputs of the module.
func installation(outputs map[string]any) (map[string]any, error) {
	if outputs["static_function"] != nil {
		return outputs, nil
	}
	var found []string
	for name, value := range outputs {
		if module, ok := value.(map[string]any); ok && module["static_function"] != nil {
			found = append(found, name)
		}
	}
	switch len(found) {
	case 0:
		return outputs, nil
	case 1:
		return outputs[found[0]].(map[string]any), nil
	default:
		slices.Sort(found)
		return nil, fmt.Errorf("several installations in the outputs: %s", strings.Join(found, ", "))
	}
}

// flat returns an output as its flag has it.
func flat(value any) string {
	var parts []string
	switch value := value.(type) {
	case []any:
		for _, part := range value {
			parts = append(parts, fmt.Sprint(part))
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(value)) {
			parts = append(parts, fmt.Sprintf("%s=%v", key, value[key]))
		}
	default:
		return fmt.Sprint(value)
	}
	return strings.Join(parts, ",")
}
