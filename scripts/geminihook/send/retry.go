package send

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/geminihook/geminihook/shared/webhook"
)

// FirstPause is the default pause after the first failed attempt.
const FirstPause = 5 * time.Second

// The retry schedule. Gemini documents exponential back-off for 24 hours, without
// figures. The first pauses follow the example in the Standard Webhooks specification.
const (
	pauseFactor = 4   // each pause is this many times as long as the previous one
	pauseJitter = 0.2 // as a fraction of a pause, either way: senders that failed together do not retry together
	giveUpAfter = webhook.RetriedFor
)

// pause returns how long to wait after the failed attempt number n, counted from 1.
// first is the pause after attempt 1, without jitter. If the receiver's Retry-After is
// longer, pause returns that.
func pause(first time.Duration, n int, retryAfter time.Duration) time.Duration {
	grown := float64(first) * math.Pow(pauseFactor, float64(n-1))
	grown *= 1 + pauseJitter*(2*rand.Float64()-1)
	return max(time.Duration(min(grown, float64(giveUpAfter))), retryAfter)
}
