package examples

import (
	"cmp"
	"encoding/json"
	"fmt"
)

// newResult reads one answer: a line of the results file or an inline response. Both
// have a response or an error; a line has its key beside it, an inline response in
// its metadata.
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
		result.read(item) // documented: the response or the error itself
	}
	return result, nil
}

// plain returns a JSON string's content, and any other JSON value as it stands. It
// returns the empty string for null and for a value that is absent.
func plain(value json.RawMessage) string {
	var text string
	if len(value) == 0 || json.Unmarshal(value, &text) == nil {
		return text
	}
	return string(value)
}

// errorReason returns an error's message, or all of the error if it has none.
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

// text returns the candidate's text and why it is missing or incomplete. Only STOP
// means complete: without a finishReason the model has not finished.
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

// because adds the API's explanation to a code, if there is one.
func because(code, message string) string {
	if message == "" {
		return code
	}
	return code + ": " + message
}
