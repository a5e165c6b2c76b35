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

// fileName matches the name of a file, alone or in a URL.
var fileName = regexp.MustCompile(`(?:^|/)(files/[A-Za-z0-9_-]+)`)

// Video downloads the video of a video.generated event. body is the data of the message.
// The API keeps videos for two days.
//
// Google's sources disagree about the name of the field that points to the video. Video
// uses the first of output_file_uri, video_uri and file_name that is present, and only the
// file's name in it: otherwise the event would determine the host that gets the API key.
// The key can only read files of its own project.
//
// Video fails if the event names no file, if the API fails, or if the download is
// incomplete. Then do not acknowledge the message.
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
		return nil, errors.New("event: no file name in output_file_uri, video_uri or file_name")
	}
	file, err := client.Files.Get(ctx, found[1], nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", found[1], err)
	}
	video, err := client.Files.Download(ctx, genai.NewDownloadURIFromFile(&genai.File{DownloadURI: found[1]}), nil)
	if err != nil {
		return nil, fmt.Errorf("%s: download: %w", found[1], err)
	}
	// If the request fails, Download returns the body of the error answer as the file.
	if file.SizeBytes == nil || int64(len(video)) != *file.SizeBytes {
		return nil, fmt.Errorf("%s: downloaded %d bytes, which is not its size", found[1], len(video))
	}
	return video, nil
}
