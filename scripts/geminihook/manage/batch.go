package manage

import (
	"context"
	"fmt"

	"google.golang.org/genai"
)

const (
	// The job that doctor --job starts.
	jobDisplayName = "geminihook-doctor"
	jobPrompt      = "Answer with one word: yes."
	jobMaxTokens   = 16 // the answer's maximum length, in tokens, to bound the cost
)

// startBatch starts a batch of one small request and returns its name. The batch's
// event goes to the URL to. startBatch does not retry, because each attempt may start
// another batch.
func (g *gemini) startBatch(ctx context.Context, model, to string, metadata map[string]any) (name string, err error) {
	batch, err := g.client.Batches.Create(ctx, model, &genai.BatchJobSource{InlinedRequests: []*genai.InlinedRequest{{
		Contents: genai.Text(jobPrompt),
		Config:   &genai.GenerateContentConfig{MaxOutputTokens: jobMaxTokens},
	}}}, &genai.CreateBatchJobConfig{
		DisplayName:   jobDisplayName,
		WebhookConfig: &genai.WebhookConfig{Uris: []string{to}, UserMetadata: metadata},
	})
	if err != nil {
		return "", fmt.Errorf("start a batch: %w", describe(err))
	}
	return batch.Name, nil
}

// cancelBatch cancels a batch.
func (g *gemini) cancelBatch(ctx context.Context, name string) error {
	if err := g.client.Batches.Cancel(ctx, name, nil); err != nil {
		return fmt.Errorf("cancel %s: %w", name, describe(err))
	}
	return nil
}

// deleteBatch deletes a batch.
func (g *gemini) deleteBatch(ctx context.Context, name string) error {
	if _, err := g.client.Batches.Delete(ctx, name, nil); err != nil {
		return fmt.Errorf("delete %s: %w", name, describe(err))
	}
	return nil
}
