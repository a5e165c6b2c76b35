package inspector

import (
	"bytes"
	"encoding/json"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
)

const (
	// logPatience is how long an answered delivery waits for its log line. After that,
	// it is shown without the line.
	logPatience = time.Second

	// maxUnread is the number of events that a page may be behind. A page further
	// behind is disconnected; it reconnects and gets the whole list.
	maxUnread = 256
)

// Deliveries holds the latest deliveries and published messages. A delivery is joined
// from its request and answer, and from the function's log line, which arrive in any
// order. Its methods are safe for concurrent use, and do not wait for pages.
type Deliveries struct {
	mu       sync.Mutex
	last     int64                // id of the latest delivery
	waiting  map[string]*delivery // deliveries without a log line, by execution id
	kept     shelf[*delivery]
	messages shelf[message]
	counts   counts
	pages    map[chan []byte]bool // the events of each open page
	closed   bool
}

// A message is a published message.
type message struct {
	topic string // full name
	*pubsubpb.PubsubMessage
}

// counts are the numbers of deliveries and messages since the start. Tones counts
// deliveries by the tone of their outcome.
type counts struct {
	Received int64            `json:"received"`
	Messages int64            `json:"messages"`
	Tones    map[string]int64 `json:"tones"`
}

// NewDeliveries returns an empty list.
func NewDeliveries() *Deliveries {
	return &Deliveries{
		waiting: make(map[string]*delivery),
		pages:   make(map[chan []byte]bool),
		counts:  counts{Tones: make(map[string]int64)},
	}
}

// begin adds a delivery, before its request is forwarded with this execution id.
func (l *Deliveries) begin(d *delivery, execution string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	d.id = l.last
	l.waiting[execution] = d
}

// answer completes a delivery, except for its log line. It shows the delivery, or waits
// up to logPatience for the line.
func (l *Deliveries) answer(d *delivery, execution string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	d.answered = true
	l.kept.put(d, d.size())
	if d.log.Outcome != "" {
		l.announce(d)
		return
	}
	time.AfterFunc(logPatience, func() { l.giveUp(d, execution) })
}

func (l *Deliveries) giveUp(d *delivery, execution string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !d.announced {
		delete(l.waiting, execution)
		l.announce(d)
	}
}

// Logged records a line of the functions' log. It ignores lines that are not about a
// waiting delivery.
func (l *Deliveries) Logged(text []byte) {
	var line logLine
	if !bytes.Contains(text, []byte(`"delivery"`)) || json.Unmarshal(text, &line) != nil || line.Message != "delivery" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.waiting[line.Labels.ExecutionID]
	if d == nil {
		return
	}
	delete(l.waiting, line.Labels.ExecutionID)
	d.log = line
	if d.answered {
		l.announce(d)
	}
}

// Published records a published message. topic is its full name.
func (l *Deliveries) Published(topic string, m *pubsubpb.PubsubMessage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.messages.put(message{topic, m}, len(m.Data))
	l.counts.Messages++
	l.tell(nil)
}

// announce counts a delivery and shows it on all pages.
func (l *Deliveries) announce(d *delivery) {
	d.announced = true
	l.counts.Received++
	l.counts.Tones[meaningOf(d.outcome()).Tone]++
	l.tell(new(d.row()))
}

// tell sends a row, or if r is nil only the counts, to all pages. It disconnects pages
// that are maxUnread events behind.
func (l *Deliveries) tell(r *row) {
	if len(l.pages) == 0 {
		return
	}
	event := encode("row", map[string]any{"row": r, "counts": l.counts})
	for page := range l.pages {
		select {
		case page <- event:
		default:
			delete(l.pages, page)
			close(page)
		}
	}
}

// open returns a new page's events. The first event is the list of all deliveries. The
// channel is closed if the page reads too slowly, or by Close.
func (l *Deliveries) open() (events chan []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	events = make(chan []byte, maxUnread)
	if l.closed {
		close(events)
		return events
	}
	rows := []row{}
	for _, d := range l.kept.things {
		if d.announced {
			rows = append(rows, d.row())
		}
	}
	events <- encode("list", map[string]any{"rows": rows, "counts": l.counts})
	l.pages[events] = true
	return events
}

// leave stops sending events to a closed page.
func (l *Deliveries) leave(events chan []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.pages, events)
}

// Close ends the events of all pages, including those opened later.
func (l *Deliveries) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for page := range l.pages {
		delete(l.pages, page)
		close(page)
	}
}

// find returns a copy of the shown delivery with this id, or nil if it is not in
// memory.
func (l *Deliveries) find(id int64) *delivery {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range l.kept.things {
		if d.id == id && d.announced {
			return new(*d)
		}
	}
	return nil
}

// message returns the message with this full topic name and Pub/Sub message id, or nil
// if it is not in memory.
func (l *Deliveries) message(topic, id string) *message {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.messages.things {
		if m.topic == topic && m.MessageId == id {
			return &m
		}
	}
	return nil
}

// encode returns a server-sent event.
func encode(name string, data any) []byte {
	text, err := json.Marshal(data)
	if err != nil {
		panic(err) // cannot fail: strings and numbers
	}
	return []byte("event: " + name + "\ndata: " + string(text) + "\n\n")
}
