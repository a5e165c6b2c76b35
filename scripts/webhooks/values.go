package main

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

// about describes what is to be known of the deployment: Terraform's outputs, and
// flags of the same names.
var about = map[string]string{
	"project":                  "the Google Cloud project's `ID`",
	"static_function":          "the static function's `NAME`",
	"static_url":               "the static function's `URL`",
	"dynamic_url":              "the dynamic function's `URL`, without a token",
	"signing_secret_name":      "the `SECRET` whose enabled versions sign the webhook's deliveries",
	"url_token_secret_name":    "the `SECRET` whose enabled versions are the tokens in the dynamic URL",
	"url_token_required":       "whether the dynamic function demands a token, `true` or false",
	"routes":                   "the routes, as `TYPE=TOPIC,…`",
	"subscriptions":            "their subscriptions, as `TOPIC=SUBSCRIPTION,…`",
	"dead_letter_subscription": "the `SUBSCRIPTION` that holds dead letters",
	"firestore_database":       "the `DATABASE` that remembers deliveries",
	"firestore_collection":     "the `COLLECTION` in it",
	"services":                 "the `SERVICES` that must be on, with commas",
}

// values are what is known of the deployment, by the names of Terraform's outputs,
// as the flags have them: lists and maps with commas.
type values map[string]string

// list returns the parts of a value.
func (v values) list(name string) []string {
	return strings.FieldsFunc(v[name], func(r rune) bool { return r == ',' })
}

// complete fills in from Terraform's outputs what is needed and was not given.
func (v values) complete(ctx context.Context, needed []string, folder string) error {
	missing := v.missing(needed)
	if len(missing) == 0 {
		return nil
	}
	outputs, err := readOutputs(ctx, folder)
	for _, name := range missing {
		v[name] = outputs[name]
	}
	missing = v.missing(needed)
	switch {
	case len(missing) == 0:
		return nil
	case err == nil && len(outputs) == 0:
		err = fmt.Errorf("no outputs in %s", folder)
	case err == nil:
		err = fmt.Errorf("the outputs in %s are of another version", folder)
	}
	for i, name := range missing {
		missing[i] = "-" + flagName(name)
	}
	return &failure{
		err:  err,
		next: fmt.Sprintf("terraform -chdir=%s apply, or say %s", folder, strings.Join(missing, ", ")),
	}
}

func (v values) missing(needed []string) []string {
	return slices.DeleteFunc(slices.Clone(needed), func(name string) bool { return v[name] != "" })
}

// readOutputs asks Terraform for the outputs of the configuration in a folder: none
// before the first apply.
func readOutputs(ctx context.Context, folder string) (values, error) {
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
	v := values{}
	for name := range about {
		if output, ok := outputs[name]; ok {
			v[name] = flat(output.Value)
		}
	}
	return v, nil
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
