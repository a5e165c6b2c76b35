package examples

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"

	"google.golang.org/genai"
)

// fileName finds the name of a file in a URL. The name may be all of it.
var fileName = regexp.MustCompile(`(?:^|/)(files/[A-Za-z0-9_-]+)`)

// Video fetches the video that body, the data of a video.generated message, announces.
// The API keeps it for two days.
//
// Sources disagree on the field that points to it, so output_file_uri, video_uri and
// file_name are all read, and whichever is there first counts. Only the file's name is
// taken out of it: the event must not decide which host the API key goes to. The key
// reads the files of its own project only.
//
// Video returns an error if any byte is missing: do not acknowledge the message then.
func Video(ctx context.Context, client *genai.Client, body []byte) ([]byte, error) {
	var event struct {
		Data struct {
			OutputFileURI string `json:"output_file_uri"`
			VideoURI      string `json:"video_uri"`
			FileName      string `json:"file_name"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &event); err != nil {
		return nil, fmt.Errorf("event: %w", err)
	}
	found := fileName.FindStringSubmatch(cmp.Or(event.Data.OutputFileURI, event.Data.VideoURI, event.Data.FileName))
	if found == nil {
		return nil, errors.New("event: it names no file")
	}
	file, err := client.Files.Get(ctx, found[1], nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", found[1], err)
	}
	video, err := client.Files.Download(ctx, genai.NewDownloadURIFromFile(&genai.File{DownloadURI: found[1]}), nil)
	if err != nil {
		return nil, fmt.Errorf("%s: download: %w", found[1], err)
	}
	// Download returns the answer to a failed request as if it were the file.
	if file.SizeBytes == nil || int64(len(video)) != *file.SizeBytes {
		return nil, fmt.Errorf("%s: downloaded %d bytes, which is not its size", found[1], len(video))
	}
	return video, nil
}
