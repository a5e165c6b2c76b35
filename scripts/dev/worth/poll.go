package main

import (
	"maps"
	"math/rand/v2"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/geminihook/geminihook/shared/geminitest"
)

// maxDoubled bounds doubling intervals, as a multiple of the first.
const maxDoubled = 16

// A way is a way to notice the ends of jobs.
type way struct {
	name   string
	hooked bool // jobs have webhooks
	faulty bool // 1 % of deliveries are lost, and 1 % are made twice

	// open starts the way on a side. It returns the function to call for each started
	// job.
	open func(*side) (begin func(started), err error)
}

// The ways, in the order of the tables.
var (
	get        = way{"get", false, false, func(s *side) (func(started), error) { return s.poll(false), nil }}
	doubling   = way{"get, doubling", false, false, func(s *side) (func(started), error) { return s.poll(true), nil }}
	list       = way{"list", false, false, func(s *side) (func(started), error) { return s.list(), nil }}
	webhooks   = way{"webhooks", true, false, func(s *side) (func(started), error) { return s.webhooks(false) }}
	lossy      = way{"webhooks, 1 % lost", true, true, func(s *side) (func(started), error) { return s.webhooks(false) }}
	reconciled = way{"webhooks + reconciler", true, true, func(s *side) (func(started), error) { return s.webhooks(true) }}

	ways = []way{get, doubling, list, webhooks, lossy, reconciled}
)

// poll polls each job in its own loop, as in Google's guides. If a call fails, the
// guides' loops end, but this one retries after a random time around the interval, so
// that loops that failed together do not stay together.
func (s *side) poll(doubling bool) func(started) {
	return func(j started) {
		s.running.Go(func() {
			interval := s.pace.Get[j.Kind]
			longest := interval
			if doubling {
				longest *= maxDoubled
			}
			for wait := interval; s.sleep(wait); {
				a, err := s.get(j.Kind, j.Name)
				if err != nil {
					wait = interval/2 + rand.N(interval)
					continue
				}
				if a.ended() {
					s.collect(j, a.file())
					return
				}
				interval = min(2*interval, longest)
				wait = interval
			}
		})
	}
}

// list polls the list of batches. Jobs of other kinds have no list, so list uses poll
// for them.
func (s *side) list() func(started) {
	var mu sync.Mutex
	open := make(map[string]started)
	s.running.Go(func() {
		for s.sleep(s.pace.List) {
			mu.Lock()
			asked := maps.Clone(open)
			mu.Unlock()
			for name, file := range s.endedOf(asked) {
				s.running.Go(func() { s.take(asked[name], file) })
				mu.Lock()
				delete(open, name)
				mu.Unlock()
			}
		}
	})
	poll := s.poll(false)
	return func(j started) {
		if j.Kind != geminitest.KindBatch {
			poll(j)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		open[j.Name] = j
	}
}

// endedOf returns the open batches that have ended, each with its result file. It reads
// pages of the list, newest batches first, until it has seen all open batches. If a
// call fails, it returns the batches found until then.
func (s *side) endedOf(open map[string]started) map[string]string {
	ended := make(map[string]string)
	query := url.Values{"pageSize": {strconv.Itoa(maxBatches)}}
	for seen := 0; seen < len(open); {
		var page struct {
			Operations    []answer
			NextPageToken string
		}
		if s.call("v1beta/batches", query, &page) != nil {
			break
		}
		for _, a := range page.Operations {
			if _, ok := open[a.Name]; ok {
				seen++
				if a.ended() {
					ended[a.Name] = a.file()
				}
			}
		}
		if page.NextPageToken == "" {
			break
		}
		query.Set("pageToken", page.NextPageToken)
	}
	return ended
}

// take fetches the result of an ended job: from its file, or if file is empty first
// with a get.
func (s *side) take(j started, file string) {
	for wait := time.Second; file == ""; wait = min(2*wait, time.Minute) {
		a, err := s.get(j.Kind, j.Name)
		if err == nil && a.ended() {
			file = a.file()
			break
		}
		if !s.sleep(wait) {
			return
		}
	}
	s.collect(j, file)
}
