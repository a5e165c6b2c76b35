package send

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/geminihook/geminihook/shared/webhook"
)

// FirstPause is the pause after the first failed attempt, unless Options has another.
const FirstPause = 5 * time.Second

// The schedule of a sender. Gemini documents exponential backoff for 24 hours, and
// no numbers; these begin as the example of Standard Webhooks does.
const (
	pauseFactor = 4
	pauseJitter = 0.2 // of a pause, either way: senders that failed together do not come back together
	giveUpAfter = webhook.RetriedFor
)

// pause returns how long to wait after the failed attempt number n, the first being
// 1. The receiver's Retry-After counts if it asks for more.
func pause(first time.Duration, n int, retryAfter time.Duration) time.Duration {
	grown := float64(first) * math.Pow(pauseFactor, float64(n-1))
	grown *= 1 + pauseJitter*(2*rand.Float64()-1)
	return max(time.Duration(min(grown, float64(giveUpAfter))), retryAfter)
}
