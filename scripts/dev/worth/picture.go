package main

import (
	"math"
	"strings"
	"text/template"
)

// kindNames are the display names of kinds.
var kindNames = []string{"Batch", "Deep Research", "Video"}

// An axis is logarithmic. It has the value least at the pixel left, and most at right.
type axis struct{ least, most, left, right float64 }

var (
	callsAxis = axis{.5, 2000, 180, 440}
	delayAxis = axis{.5, 2 * 3600, 520, 810}
)

// of returns the pixel of a value. Values beyond the ends of the axis are at the ends.
func (a axis) of(value float64) float64 {
	value = min(max(value, a.least), a.most)
	return math.Round(a.left + (a.right-a.left)*math.Log(value/a.least)/math.Log(a.most/a.least))
}

// A text is a label of an axis, or the title of a group of rows.
type text struct {
	At   float64
	Text string
}

// A row is the row of one way.
type row struct {
	Y                    float64
	Way, Color, Calls    string
	CallsX               float64
	Median, Most, Longer float64
}

// drawing is the picture in SVG, with a bar for the calls and a range for the delays. A
// plotting library would need its own module, and would not make this shorter.
var drawing = template.Must(template.New("").Parse(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 840 {{.Height}}" ` +
	`font-family="sans-serif" font-size="12" role="img" aria-label="Calls a job, and delays, of each way">
<rect width="840" height="{{.Height}}" fill="#fff"/>
<text x="180" y="22" font-weight="bold">Calls of the API a job</text>
<text x="520" y="22" font-weight="bold">Delay: median, 95th percentile, longest</text>
{{- range .Marks}}
<path d="M{{.At}} 44V{{$.Height}}" stroke="#ddd"/><text x="{{.At}}" y="39" text-anchor="middle" fill="#666" font-size="10">{{.Text}}</text>
{{- end}}
{{- range .Kinds}}
<text x="10" y="{{.At}}" font-weight="bold">{{.Text}}</text>
{{- end}}
{{- range .Rows}}
<g transform="translate(0 {{.Y}})" fill="{{.Color}}" stroke="{{.Color}}"><path d="M180 0H{{.CallsX}}" stroke-width="12"/>` +
	`<path d="M{{.Median}} 0H{{.Longer}}" stroke-width="2"/><path d="M{{.Median}} 0H{{.Most}}" stroke-width="7"/><circle cx="{{.Median}}" r="4"/>` +
	`<g fill="#000" stroke="none"><text x="22" y="4">{{.Way}}</text><text x="{{.CallsX}}" dx="4" y="4">{{.Calls}}</text></g></g>
{{- end}}
</svg>
`))

// Picture returns an SVG picture of the calls per job and the delays of each way.
func (r *Report) Picture() string {
	const first, high, between = 66.0, 20.0, 26.0
	var names, marks []text
	var rows []row
	y := first
	for i, kind := range kinds {
		names = append(names, text{y, kindNames[i]})
		for _, f := range r.Ways {
			if f.Way != lossy.name && !unlisted(f, kind) { // lossy differs only in the jobs never noticed
				y += high
				rows = append(rows, f.row(kind, y))
			}
		}
		y += between
	}
	for _, n := range []float64{1, 10, 100, 1000} {
		marks = append(marks, text{callsAxis.of(n), thousands(n)})
	}
	for _, s := range []float64{1, 10, 60, 600, 3600} {
		marks = append(marks, text{delayAxis.of(s), short(s)})
	}
	var b strings.Builder
	if err := drawing.Execute(&b, map[string]any{"Height": y - high/2, "Marks": marks, "Kinds": names, "Rows": rows}); err != nil {
		panic(err)
	}
	return b.String()
}

// row returns the row of a way for a kind of jobs.
func (f Figures) row(kind string, y float64) row {
	color := "#c2571a"
	if f.Cloud.Requests > 0 {
		color = "#1a6dc2"
	}
	d := f.Jobs[kind].Delay
	return row{
		Y: y, Way: f.Way, Color: color, Calls: number(f.perJob(kind)), CallsX: callsAxis.of(f.perJob(kind)),
		Median: delayAxis.of(d.P50), Most: delayAxis.of(d.P95), Longer: delayAxis.of(d.Max),
	}
}
