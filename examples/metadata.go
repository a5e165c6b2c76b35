package examples

import "encoding/json"

// UserMetadata returns the user_metadata of the webhook_config with which a job was
// started. body is the data of a message about the job. UserMetadata returns nil if body
// contains none: the job may have none, and an event of the reconciler may lack it.
//
// It is not documented where in the event it is. UserMetadata reads the top level first,
// then data.
//
// Do not trust it more than the delivery: anyone who knows the URL of a dynamic endpoint
// can start jobs of their own with any metadata.
func UserMetadata(body []byte) map[string]any {
	var event struct {
		UserMetadata map[string]any `json:"user_metadata"`
		Data         struct {
			UserMetadata map[string]any `json:"user_metadata"`
		} `json:"data"`
	}
	if json.Unmarshal(body, &event) != nil {
		return nil
	}
	if event.UserMetadata != nil {
		return event.UserMetadata
	}
	return event.Data.UserMetadata
}
