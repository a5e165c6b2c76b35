package examples

import "encoding/json"

// UserMetadata returns the user_metadata of the webhook_config with which a job was
// started, from body, the data of a message about the job. It returns nil if there is
// none: not every job has it, and an event that the reconciler rebuilt may lack it.
//
// No documentation says where in the event it is, so both places are read: the top
// level first, then data.
//
// It is as trustworthy as the delivery: on a dynamic endpoint anyone who knows its URL
// can start jobs of their own with it.
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
