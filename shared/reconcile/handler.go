package reconcile

import (
	"context"
	"net/http"
)

// ServeHTTP makes a pass. It answers 200 if the pass was complete, 503 if it was not or
// if another pass is running, and 405 if the method is not POST. It ignores the rest of
// the request. If the caller hangs up, the pass continues.
func (r *Reconciler) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	status := http.StatusOK
	if req.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		status = http.StatusMethodNotAllowed
	} else if summary, err := r.Run(context.WithoutCancel(req.Context())); err != nil || !summary.Complete {
		status = http.StatusServiceUnavailable
		if err != nil {
			r.Log.WarnContext(req.Context(), "no pass", "error", err.Error())
		}
	}
	http.Error(w, http.StatusText(status), status)
}
