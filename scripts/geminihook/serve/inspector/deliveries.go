package inspector

import (
	"bytes"
	"encoding/json"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
)

const (
	// logPatience is how long a delivery that was answered waits for its log line
	// before it is shown without.
	logPatience = time.Second

	// maxUnread is how many events a page may be behind. One that falls further
	// behind is cut off, and begins anew with the whole list.
	maxUnread = 256
)

// Deliveries are those that serve has seen, the latest of them. It learns of a
// delivery three ways, in any order: the request and its answer, the function's log
// line, and the message. It may be used concurrently, and makes nobody wait.
type Deliveries struct {
	mu       sync.Mutex
	last     int64
	waiting  map[string]*delivery // for their log lines, by execution id
	kept     shelf[*delivery]
	messages shelf[message]
	counts   counts
	pages    map[chan []byte]bool
	closed   bool
}

// A message is one that reached a topic.
type message struct {
	topic string // in full
	*pubsubpb.PubsubMessage
}

// counts are since the start, those of deliveries also by the tone of the outcome.
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

// begin is called before a request goes to its function, under an execution id.
func (l *Deliveries) begin(d *delivery, execution string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	d.id = l.last
	l.waiting[execution] = d
}

// answer is called when all but the log line is known.
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

// Logged takes a line of the functions' log.
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

// Published takes a message that reached a topic.
func (l *Deliveries) Published(topic string, m *pubsubpb.PubsubMessage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.messages.put(message{topic, m}, len(m.Data))
	l.counts.Messages++
	l.tell(nil)
}

// announce shows a delivery on every page.
func (l *Deliveries) announce(d *delivery) {
	d.announced = true
	l.counts.Received++
	l.counts.Tones[meaningOf(d.outcome()).Tone]++
	l.tell(new(d.row()))
}

// tell sends an event to every page. The page that reads too slowly is cut off.
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

// open returns the events of a page, the first of which holds all that there is.
// They end where the page reads too slowly, and with the list.
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

// leave ends the events of a page that has gone.
func (l *Deliveries) leave(events chan []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.pages, events)
}

// Close ends the events of all pages.
func (l *Deliveries) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for page := range l.pages {
		delete(l.pages, page)
		close(page)
	}
}

// find returns a copy of a delivery that is shown, nil where there is none.
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

// message returns the one that Pub/Sub gave this id, nil where it is not kept.
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

// encode is an event in the form of server-sent events.
func encode(name string, data any) []byte {
	text, err := json.Marshal(data)
	if err != nil {
		panic(err) // rows and counts are texts and numbers
	}
	return []byte("event: " + name + "\ndata: " + string(text) + "\n\n")
}
