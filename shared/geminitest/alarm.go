package geminitest

import "time"

// An alarm is a scheduled function call. It runs in its own goroutine, unless it is
// stopped or the API is closed before.
type alarm struct {
	api   *API
	timer *time.Timer
}

// after schedules a call of do after a delay. Close prevents the call or waits for
// it. After Close, after returns nil and does not schedule the call. The caller holds
// the lock.
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

// stop prevents the call if it has not begun. m may be nil. The caller holds the lock.
func (m *alarm) stop() {
	if m != nil && m.timer.Stop() {
		delete(m.api.alarms, m)
		m.api.running.Done()
	}
}

// Close stops the scheduled work of the API: the ends of jobs and their deliveries.
// It returns after the work in progress has ended. The API still answers calls.
func (a *API) Close() {
	a.mu.Lock()
	a.cancelAll()
	for m := range a.alarms {
		m.stop()
	}
	a.mu.Unlock()
	a.running.Wait()
}
