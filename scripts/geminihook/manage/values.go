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

// terraformTimeout bounds the call of Terraform, which may have to read its state from
// a bucket.
const terraformTimeout = time.Minute

// An Output is a Terraform output that a command needs, and the flag that overrides it.
type Output struct {
	Flag     string // without dashes
	Usage    string // the flag's help
	Repeated bool   // the output is a list or a map; each use of the flag adds one entry
}

// Outputs are the outputs that the commands need, by name.
var Outputs = map[string]Output{
	"project":                  {"project", "the Google Cloud project's `ID`", false},
	"static_function":          {"static-function", "the static function's `NAME`", false},
	"static_url":               {"static-url", "the static function's `URL`", false},
	"dynamic_url":              {"dynamic-url", "the dynamic function's `URL`, without a URL token", false},
	"signing_secret_name":      {"signing-secret-name", "the `NAME` of the secret whose enabled versions are the signing secrets", false},
	"url_token_secret_name":    {"url-token-secret-name", "the `NAME` of the secret whose enabled versions are the URL tokens", false},
	"api_key_secret_name":      {"api-key-secret-name", "the `NAME` of the secret with the reconciler's Gemini API key", false},
	"url_token_required":       {"url-token-required", "`BOOL`, true or false: the dynamic function requires a URL token", false},
	"routes":                   {"route", "a route, as `TYPE=TOPIC`: events of this type go to this topic; may be repeated", true},
	"subscriptions":            {"topic-subscription", "a topic's subscription, as `TOPIC=SUBSCRIPTION`; may be repeated", true},
	"dead_letter_subscription": {"dead-letter-subscription", "the `SUBSCRIPTION` that holds dead letters", false},
	"service_accounts":         {"service-account", "a service account, as `NAME=EMAIL` with the name static, dynamic or reconcile; may be repeated", true},
	"firestore_database":       {"firestore-database", "the Firestore `DATABASE` with the records of deliveries", false},
	"firestore_collection":     {"firestore-collection", "the `COLLECTION` of the records of deliveries", false},
	"reconcile":                {"mode", "the `MODE` for missed events: report, auto or publish", false},
	"grace":                    {"grace", "an event is missed if it was not delivered within this `DURATION` after its job ended", false},
	"look_back":                {"look-back", "check batches that ended within the last `DURATION`", false},
	"record_retention":         {"record-retention", "records of deliveries are kept for this `DURATION`", false},
	"reenable":                 {"reenable", "`BOOL`, true or false: enable the webhook if Gemini disabled it", false},
	"static_webhook":           {"static-webhook", "`BOOL`, true or false: a webhook for the static function's URL should exist", false},
	"publish_unknown":          {"publish-unknown", "`BOOL`, true or false: also publish events for statuses for which Gemini documents no event", false},
	"jobs_subscription":        {"jobs-subscription", "the `SUBSCRIPTION` with the names of started jobs", false},
	"jobs_dead_letter_topic":   {"jobs-dead-letter-topic", "the `TOPIC` for messages that name no job", false},
	"jobs_collection":          {"jobs-collection", "the `COLLECTION` of registered jobs", false},
	"state_collection":         {"state-collection", "the `COLLECTION` of the reconciler's state", false},
	"services":                 {"service", "a `SERVICE` that must be enabled, such as pubsub.googleapis.com; may be repeated", true},
}

// Values are values of outputs, by name. The entries of lists and maps are joined with
// commas, which no entry contains.
type Values map[string]string

// Set sets the value of an output. For an output that is Repeated, it adds an entry.
func (v Values) Set(name, value string) {
	if v[name] != "" && Outputs[name].Repeated {
		value = v[name] + "," + value
	}
	v[name] = value
}

// list returns the entries of a value.
func (v Values) list(name string) []string {
	return strings.FieldsFunc(v[name], func(r rune) bool { return r == ',' })
}

// complete adds the needed values that are missing from the outputs of the Terraform
// configuration in folder. It fails if the outputs do not have them.
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
		err = fmt.Errorf("no Terraform outputs in %s", folder)
	case err == nil && outputs["reconcile"] == "off":
		err = errors.New("this deployment has no reconciler: its setting reconcile is off")
	case err == nil:
		err = fmt.Errorf("the Terraform outputs in %s are of another version", folder)
	}
	for i, name := range missing {
		missing[i] = "--" + Outputs[name].Flag
	}
	return &failure{
		err:  err,
		next: fmt.Sprintf("run terraform -chdir=%s apply, or give %s", folder, strings.Join(missing, ", ")),
	}
}

// missing returns the needed outputs whose values are unknown. The value of a list or a
// map may be empty.
func (v Values) missing(needed []string) []string {
	return slices.DeleteFunc(slices.Clone(needed), func(name string) bool {
		value, ok := v[name]
		return value != "" || ok && Outputs[name].Repeated
	})
}

// readOutputs returns the outputs of the Terraform configuration in folder. The result
// is empty before the first apply.
func readOutputs(ctx context.Context, folder string) (Values, error) {
	ctx, cancel := context.WithTimeout(ctx, terraformTimeout)
	defer cancel()
	var complaint bytes.Buffer
	cmd := exec.CommandContext(ctx, "terraform", "-chdir="+folder, "output", "-json", "-no-color")
	cmd.Stderr = &complaint
	text, err := cmd.Output()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, errors.New("terraform is not installed, so its outputs cannot be read")
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

// installation returns the outputs of a configuration's only installation. A
// configuration that uses the module has one output that holds all outputs of the
// module. It fails if there are several.
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
		return nil, fmt.Errorf("the outputs describe several installations: %s", strings.Join(found, ", "))
	}
}

// flat returns an output's value in the form of its flag.
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
