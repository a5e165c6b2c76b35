package main

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/geminihook/geminihook/shared/geminitest"
)

// kinds are the kinds of jobs, in the order of the tables.
var kinds = []string{geminitest.KindBatch, geminitest.KindInteraction, geminitest.KindVideo}

const (
	// maxBatches is the API's limit of concurrent batches in a project.
	maxBatches = 100

	requests    = 100 // in a batch
	inlineShare = 4   // one batch in this many has inline results
	lostShare   = 100 // one delivery in this many is lost, and one is made twice
)

// A job is a planned job. All ways run the same jobs.
type job struct {
	geminitest.Job
	kind    string
	start   time.Duration // since the beginning of the run
	dynamic bool          // has its own webhook_config
}

// A lifetime draws the duration of a job of a kind.
type lifetime func(r *rand.Rand, kind string) time.Duration

// realistic draws durations within the published limits. Batches: 2 minutes to 48
// hours, half of them less than 76 minutes. Deep Research: "maximum 60 minutes, most
// within 20". Video: 11 seconds to 6 minutes.
func realistic(r *rand.Rand, kind string) time.Duration {
	switch kind {
	case geminitest.KindBatch:
		return logUniform(r, 2*time.Minute, 48*time.Hour)
	case geminitest.KindInteraction:
		if r.IntN(10) == 0 {
			return uniform(r, 20*time.Minute, time.Hour)
		}
		return uniform(r, 2*time.Minute, 20*time.Minute)
	}
	return logUniform(r, 11*time.Second, 6*time.Minute)
}

func uniform(r *rand.Rand, from, to time.Duration) time.Duration {
	return from + time.Duration(r.Int64N(int64(to-from)))
}

func logUniform(r *rand.Rand, from, to time.Duration) time.Duration {
	return time.Duration(float64(from) * math.Pow(float64(to)/float64(from), r.Float64()))
}

// draw returns n random jobs of each kind, ordered by their start within a span. Half
// of the jobs use the dynamic webhook. Lost and repeated deliveries are random, too.
// The same seed returns the same jobs.
func draw(seed uint64, n int, within time.Duration, lives lifetime) []job {
	r := rand.New(rand.NewPCG(seed, 1))
	var all []job
	for _, kind := range kinds {
		for range n {
			j := job{kind: kind, start: uniform(r, 0, within), dynamic: r.IntN(2) == 0}
			j.For = lives(r, kind)
			j.Inline = kind == geminitest.KindBatch && r.IntN(inlineShare) == 0
			j.Requests = requests
			switch r.IntN(lostShare) {
			case 0:
				j.Delivery.Never = true
			case 1:
				j.Delivery.Twice = true
			}
			all = append(all, j)
		}
	}
	byStart := func(a, b job) int { return cmp.Compare(a.start, b.start) }
	slices.SortStableFunc(all, byStart)
	makeRoom(all)
	slices.SortStableFunc(all, byStart)
	return all
}

// makeRoom delays batches so that at most maxBatches run at a time.
func makeRoom(inOrder []job) {
	var ends []time.Duration // ends of the latest batches, at most maxBatches, earliest first
	for i := range inOrder {
		j := &inOrder[i]
		if j.kind != geminitest.KindBatch {
			continue
		}
		if len(ends) == maxBatches {
			j.start = max(j.start, ends[0])
			ends = ends[1:]
		}
		end := j.start + j.For
		at, _ := slices.BinarySearch(ends, end)
		ends = slices.Insert(ends, at, end)
	}
}
