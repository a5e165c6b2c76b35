package geminitest

import (
	"net/http"
	"time"
)

// videoBody is the part of a request for a video that decides how it runs.
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

// listVideos answers as the discovery document allows. Nobody is known to have used
// this call.
func (a *API) listVideos(*http.Request, fields) (any, error) {
	return nil, &refusal{http.StatusNotImplemented, "Operation is not implemented, or supported, or enabled."}
}

// showVideo returns a video operation as the API has it. It has no times.
func (a *API) showVideo(j *job, now time.Time) object {
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
		response["generatedSamples"] = []any{object{"video": object{"uri": a.videoURI(j)}}}
	}
	shown["response"] = object{
		"@type":                 "type.googleapis.com/google.ai.generativelanguage.v1beta.PredictLongRunningResponse",
		"generateVideoResponse": response,
	}
	return shown
}

// videoURI returns where a video can be downloaded with an API key.
func (a *API) videoURI(j *job) string {
	return a.BaseURL + "/v1beta/" + j.fileName() + ":download?alt=media"
}
