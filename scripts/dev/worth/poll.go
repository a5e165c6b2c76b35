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

// maxDoubled is how many times the first interval the longest is, if they double.
const maxDoubled = 16

// A way opens what it needs on a side, and returns what it does when a job has started.
type way struct {
	name   string
	hooked bool // jobs have webhooks
	faulty bool // one delivery in a hundred is lost, and one is doubled
	open   func(*side) (begin func(started), err error)
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

// poll asks for each job in a loop of its own, as Google's guides do. Where those end
// with an error if a call is refused, this one asks again: after about the interval, so
// that loops which were refused together do not stay together.
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

// list asks for all batches at once, and for the jobs of the other kinds, which cannot be
// listed, as poll does.
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

// endedOf returns those of the open batches that have ended, each with the file of its
// results. It reads pages of the list, the newest batches first, until it has seen all
// that are open, and stops if a call is refused.
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

// take gets the result of a job that has ended: from its file, or with a get if it is
// said to be in none.
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
