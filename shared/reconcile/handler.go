package reconcile

import (
	"context"
	"net/http"
)

// ServeHTTP makes a pass: 200 if it was complete, 503 if it was not, or if another one is
// under way. Only POST is accepted. Nothing in a request changes what a pass does: not
// even the body is read. The pass goes on if the caller hangs up.
func (r *Reconciler) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	status := http.StatusOK
	if req.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		status = http.StatusMethodNotAllowed
	} else if summary, err := r.Run(context.WithoutCancel(req.Context())); err != nil || !summary.Complete {
		status = http.StatusServiceUnavailable
	}
	http.Error(w, http.StatusText(status), status)
}
