package geminitest

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The times for which the API keeps the files that jobs produce, as documented.
const (
	keepBatchFile = 6 * 7 * 24 * time.Hour
	keepVideo     = 48 * time.Hour
)

// video is the content of each generated video: the first box of an MP4 file.
const video = "\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom"

// A file is a file that a job produced.
type file struct {
	name, mime string
	body       []byte
	made, gone time.Time
}

// fileOf returns the file with this name. It fails if no job has produced it, or if
// it has expired.
func (a *API) fileOf(name string) (*file, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	for _, j := range a.order {
		if j.kind == KindInteraction || j.running(now) || j.fileName() != name {
			continue
		}
		if f := j.made(); f != nil && now.Before(f.gone) {
			return f, nil
		}
	}
	return nil, &refusal{http.StatusForbidden, "You do not have permission to access the File " +
		strings.TrimPrefix(name, "files/") + " or it may not exist."}
}

// fileName returns the name of the file that a batch or video operation produces.
func (j *job) fileName() string {
	if j.kind == KindBatch {
		return "files/batch-" + j.id()
	}
	return "files/" + j.id()
}

// made returns the file that a job produces at its end, or nil if it produces no file.
func (j *job) made() *file {
	switch {
	case j.kind == KindBatch && j.End == BatchSucceeded && !j.Inline:
		return &file{j.fileName(), "application/jsonl", j.lines(), j.ends, j.ends.Add(keepBatchFile)}
	case j.kind == KindVideo && j.End == VideoGenerated:
		return &file{j.fileName(), "video/mp4", []byte(video), j.ends, j.ends.Add(keepVideo)}
	}
	return nil
}

func (a *API) getFile(r *http.Request, _ fields) (any, error) {
	f, err := a.fileOf("files/" + r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return object{
		"name": f.name, "mimeType": f.mime, "sizeBytes": strconv.Itoa(len(f.body)), "state": "ACTIVE", "source": "GENERATED",
		"createTime": nanoTime(f.made), "updateTime": nanoTime(f.made), "expirationTime": nanoTime(f.gone),
		"uri": filesURL + f.name, "downloadUri": filesURL + f.name + ":download?alt=media",
	}, nil
}

// raw is an answer that is not JSON: a file, or a redirect to it.
type raw struct {
	mime     string
	body     []byte
	location string
}

// answer sends the file or the redirect.
func (r raw) answer(w http.ResponseWriter) {
	if r.location != "" {
		w.Header().Set("Location", r.location)
		w.WriteHeader(http.StatusFound)
		return
	}
	w.Header().Set("Content-Type", r.mime)
	_, _ = w.Write(r.body)
}

// redirectDownload redirects a download to the path of downloads, as the real API does.
func (a *API) redirectDownload(r *http.Request, _ fields) (any, error) {
	if _, err := a.fileOf("files/" + r.PathValue("id")); err != nil {
		return nil, err
	}
	return raw{location: "/download" + r.URL.RequestURI()}, nil
}

func (a *API) download(r *http.Request, _ fields) (any, error) {
	f, err := a.fileOf("files/" + r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return raw{mime: f.mime, body: f.body}, nil
}
