package examples

import (
	"cmp"
	"encoding/json"
	"fmt"
)

// newResult returns the result in one answer, which is a line of the results file or an
// inline response. Both contain a response or an error. The key of a line is at its top
// level, that of an inline response in its metadata.
func newResult(item json.RawMessage) (Result, error) {
	var answer struct {
		Key      json.RawMessage
		Metadata struct{ Key json.RawMessage }
		Response json.RawMessage
		Error    json.RawMessage
	}
	if err := json.Unmarshal(item, &answer); err != nil {
		return Result{}, err
	}
	result := Result{Raw: item, Key: cmp.Or(plain(answer.Key), plain(answer.Metadata.Key))}
	switch {
	case plain(answer.Error) != "":
		result.Reason = errorReason(answer.Error)
	case plain(answer.Response) != "":
		result.read(answer.Response)
	default:
		result.read(item) // the form in the documentation: the response itself
	}
	return result, nil
}

// plain returns the content of a JSON string, and the text of any other JSON value. It
// returns the empty string for null and for a value that is absent.
func plain(value json.RawMessage) string {
	var text string
	if len(value) == 0 || json.Unmarshal(value, &text) == nil {
		return text
	}
	return string(value)
}

// errorReason returns the message of an error, or the whole error (at most 500 bytes) if it
// has no message.
func errorReason(value json.RawMessage) string {
	var e struct{ Message string }
	_ = json.Unmarshal(value, &e)
	return cmp.Or(e.Message, fmt.Sprintf("error %.500s", value))
}

// read sets Text, Embedding and Reason from a response.
func (r *Result) read(response json.RawMessage) {
	var content struct {
		PromptFeedback struct{ BlockReason, BlockReasonMessage string }
		Candidates     []candidate
		Embedding      struct{ Values []float32 }
	}
	err := json.Unmarshal(response, &content)
	blocked := content.PromptFeedback
	switch {
	case err != nil:
		r.Reason = fmt.Sprintf("unreadable response: %v", err)
	case blocked.BlockReason != "":
		r.Reason = because("prompt blocked: "+blocked.BlockReason, blocked.BlockReasonMessage)
	case len(content.Embedding.Values) > 0:
		r.Embedding = content.Embedding.Values
	case len(content.Candidates) > 0:
		r.Text, r.Reason = content.Candidates[0].text()
	default:
		r.Reason = fmt.Sprintf("neither candidates nor an embedding: %.500s", response)
	}
}

type candidate struct {
	FinishReason, FinishMessage string
	Content                     struct {
		Parts []struct {
			Text    string
			Thought bool
		}
	}
}

// text returns the candidate's text, and the reason if it is missing or incomplete. The
// text is complete only if finishReason is STOP: without a finishReason the model has not
// finished.
func (c *candidate) text() (text, reason string) {
	for _, part := range c.Content.Parts {
		if !part.Thought {
			text += part.Text
		}
	}
	switch {
	case c.FinishReason != "STOP":
		reason = because(cmp.Or(c.FinishReason, "no finishReason"), c.FinishMessage)
	case text == "":
		reason = "STOP without a text"
	}
	return text, reason
}

// because returns code, followed by message if it is not empty.
func because(code, message string) string {
	if message == "" {
		return code
	}
	return code + ": " + message
}
