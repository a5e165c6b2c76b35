package geminitest

import "time"

// An alarm is a call that will be made in its own goroutine, unless it is stopped or
// the API is closed.
type alarm struct {
	api   *API
	timer *time.Timer
}

// after has do called after a delay. Close prevents the call, or waits for it. The
// caller holds the lock.
func (a *API) after(delay time.Duration, do func()) *alarm {
	if a.context.Err() != nil {
		return nil
	}
	a.running.Add(1)
	m := &alarm{api: a}
	m.timer = time.AfterFunc(delay, func() {
		defer a.running.Done()
		a.mu.Lock()
		delete(a.alarms, m)
		a.mu.Unlock()
		do()
	})
	a.alarms[m] = true
	return m
}

// stop prevents the call, if it has not begun. The caller holds the lock.
func (m *alarm) stop() {
	if m != nil && m.timer.Stop() {
		delete(m.api.alarms, m)
		m.api.running.Done()
	}
}

// Close ends all that the API does by itself: the ends of jobs and their deliveries.
// It returns when nothing of that runs any more. The API still answers calls.
func (a *API) Close() {
	a.mu.Lock()
	a.cancelAll()
	for m := range a.alarms {
		m.stop()
	}
	a.mu.Unlock()
	a.running.Wait()
}
