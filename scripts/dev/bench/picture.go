package main

import (
	_ "embed"
	"fmt"
	"math"
	"os"
	"strconv"
	"text/template"
)

//go:embed picture.svg.tmpl
var pictureText string

var pictureTemplate = template.Must(template.New("picture").Parse(pictureText))

// The plot's edges, as the template has them. Points keep a distance from the axes,
// whose labels would stand in theirs.
const (
	left, right = 80.0, 520.0
	top, bottom = 70.0, 340.0
	inset       = 40.0
)

// A picture is median latency by concurrency, a curve a receiver. Both axes are logarithmic.
type picture struct {
	Caption string
	Across  []mark // the concurrencies
	Up      []mark // milliseconds
	Curves  []curve

	from, to float64 // logarithms of the lowest and the highest latency shown
}

// A mark is a place with a label.
type mark struct {
	X, Y float64
	Text string
}

// A curve is that of one receiver.
type curve struct {
	style
	Points []mark
	Last   mark
}

// A style says what tells a curve from the others. The lowest curve has its labels below,
// and its name a little, since the next one is near.
type style struct {
	Name       string
	Colour     string
	LabelShift int
	NameShift  int
}

var styles = map[string]style{
	floor:    {"floor", "#80868b", 18, 11},
	this:     {"geminihook", "#1a73e8", -9, 4},
	textbook: {"textbook", "#d93025", -9, 4},
}

func draw(file string, r *Report) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := pictureTemplate.Execute(f, newPicture(r)); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

func newPicture(r *Report) *picture {
	m := r.Machine
	p := &picture{
		Caption: fmt.Sprintf("%d cores for receivers, load and emulators · %s · medians of %d rounds · %s",
			m.Cores, m.Go, len(r.Near.of(this, 1)), m.Time.Format("2006-01-02")),
		from: math.Inf(1), to: math.Inf(-1),
	}
	for _, name := range receivers {
		for _, c := range concurrencies {
			ms := math.Log10(median(r.Near.of(name, c), p50))
			p.from, p.to = min(p.from, ms), max(p.to, ms)
		}
	}
	p.from, p.to = p.from-0.2, p.to+0.1
	for _, c := range concurrencies {
		p.Across = append(p.Across, mark{X: x(c), Text: strconv.Itoa(c)})
	}
	p.rule()
	for _, name := range receivers {
		p.Curves = append(p.Curves, p.curve(name, r.Near))
	}
	return p
}

// rule marks 1, 2 and 5 of each power of ten that is shown.
func (p *picture) rule() {
	for power := math.Floor(p.from); power <= p.to; power++ {
		for _, digit := range []float64{1, 2, 5} {
			ms := digit * math.Pow(10, power)
			if l := math.Log10(ms); l >= p.from && l <= p.to {
				p.Up = append(p.Up, mark{Y: p.y(ms), Text: strconv.FormatFloat(ms, 'g', 3, 64)})
			}
		}
	}
}

func (p *picture) curve(name string, l Load) curve {
	c := curve{style: styles[name]}
	for _, concurrency := range concurrencies {
		ms := median(l.of(name, concurrency), p50)
		c.Last = mark{x(concurrency), p.y(ms), figure(ms)}
		c.Points = append(c.Points, c.Last)
	}
	return c
}

func x(concurrency int) float64 {
	highest := concurrencies[len(concurrencies)-1]
	return left + inset + (right-left-inset)*math.Log(float64(concurrency))/math.Log(float64(highest))
}

func (p *picture) y(ms float64) float64 {
	return bottom - (bottom-top)*(math.Log10(ms)-p.from)/(p.to-p.from)
}
