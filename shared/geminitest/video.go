package geminitest

import (
	"net/http"
	"time"
)

// videoBody is the part of the body of a create call that affects the video operation.
type videoBody struct {
	Instances     []struct{ Prompt string }
	WebhookConfig *WebhookConfig
}

func (a *API) createVideo(r *http.Request, body fields) (any, error) {
	var asked videoBody
	if err := body.into(&asked); err != nil {
		return nil, err
	}
	if len(asked.Instances) == 0 {
		return nil, invalid("instances: at least one is required.")
	}
	if err := asked.WebhookConfig.check(); err != nil {
		return nil, err
	}
	j := a.start(a.newVideo(a.jobLike(KindVideo, r.PathValue("model"), asked.WebhookConfig)))
	return object{"name": j.name}, nil
}

func (a *API) getVideo(r *http.Request, _ fields) (any, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	j, err := a.findJob(KindVideo, "models/"+r.PathValue("model")+"/operations/"+r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return a.show(j, true), nil
}

// listVideos answers 501, which the API's discovery document allows. No public use of
// this call is known.
func (a *API) listVideos(*http.Request, fields) (any, error) {
	return nil, &refusal{http.StatusNotImplemented, "Operation is not implemented, or supported, or enabled."}
}

// showVideo returns the API's JSON of a video operation. The real API shows no times.
func (j *job) showVideo(now time.Time) object {
	shown := object{"name": j.name}
	if j.running(now) {
		return shown
	}
	shown["done"] = true
	response := object{}
	switch j.End {
	case VideoFailed:
		shown["error"] = object{"code": j.Error.Code, "message": j.Error.Message}
		return shown
	case VideoFiltered:
		response["raiMediaFilteredCount"] = 1
		response["raiMediaFilteredReasons"] = []any{"The video was filtered because it may violate the usage guidelines."}
	default:
		response["generatedSamples"] = []any{object{"video": object{"uri": j.videoURI()}}}
	}
	shown["response"] = object{
		"@type":                 "type.googleapis.com/google.ai.generativelanguage.v1beta.PredictLongRunningResponse",
		"generateVideoResponse": response,
	}
	return shown
}

// videoURI returns the URL from which a video can be downloaded with an API key.
func (j *job) videoURI() string {
	return filesURL + j.fileName() + ":download?alt=media"
}
