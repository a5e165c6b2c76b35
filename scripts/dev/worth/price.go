package main

import (
	"math"
	"strconv"
	"strings"
)

// A price is a list price in dollars per unit, in the form "0.40/M" of docs/cost.md. A
// test compares the two.
type price string

const (
	pricePerRequest    price = "0.40/M"
	pricePerVCPUSecond price = "0.000024"
	pricePerGiBSecond  price = "0.0000025"
	pricePerWrite      price = "0.09/100,000"
	pricePerDelete     price = "0.01/100,000"
	pricePerTiB        price = "40/TiB"
	pricePerSecretRead price = "0.03/10,000"
	pricePerVersion    price = "0.06"
	pricePerLogs       price = "0.50/GiB"
)

// List prices that are not needed for the receivers alone.
const (
	pricePerRead     price = "0.03/100,000"
	pricePerSchedule price = "0.10"   // per Cloud Scheduler job and month
	pricePerMachine  price = "0.0084" // per hour of an e2-micro
)

// dollars returns the price of one unit. The unit of a price per TiB or GiB is a byte.
func (p price) dollars() float64 {
	text, per, _ := strings.Cut(string(p), "/")
	units := map[string]float64{"": 1, "M": 1e6, "100,000": 1e5, "10,000": 1e4, "TiB": 1 << 40, "GiB": 1 << 30}
	value, err := strconv.ParseFloat(text, 64)
	if err != nil || units[per] == 0 {
		panic("malformed price: " + string(p))
	}
	return value / units[per]
}

// Billed quantities that are not measured. The instance has the functions' size.
const (
	hours         = 730.0      // per month
	vCPUs, memory = 1, .5      // of an instance; memory in GiB
	leastBilled   = .1         // billed seconds of a request that is alone on its instance
	fetchSeconds  = .3         // of a subscriber's request; assumed: Google publishes no latency
	messageBytes  = 1000       // minimum billed size, both published and delivered
	logBytes      = 600        // of a request's log line
	secretReads   = 12         // per hour
	versions      = 2          // enabled secret versions
	checks        = 2 * 6 * 12 // per hour: 2 functions, 6 regions, every 5 minutes
	passes        = 6          // per hour
	machineShare  = .25        // sustained vCPUs of an e2-micro
)

// An Item is a line of a bill, in dollars per month.
type Item struct {
	Name    string
	Dollars float64
}

// bill returns the monthly cost of a way for n jobs like the measured ones. cpu is the
// processor time of a poller's call, in seconds.
func bill(f Figures, n, cpu float64) []Item {
	jobs, _, calls := f.all()
	per := n / float64(jobs)
	if f.Cloud.Requests == 0 {
		return []Item{{"a standing machine", machines(float64(calls)*per, cpu) * hours * pricePerMachine.dollars()}}
	}
	b := f.Cloud
	requests, events, names := float64(b.Requests)*per, float64(b.Events)*per, float64(b.Names)*per
	items := []Item{
		{"receivers", requests * running(leastBilled)},
		{"subscriber", events * running(fetchSeconds)},
		{"Firestore", per*(float64(b.Writes)*pricePerWrite.dollars()+float64(b.Reads)*pricePerRead.dollars()) +
			(events+names)*pricePerDelete.dollars()},
		{"Pub/Sub", (events + names) * 2 * messageBytes * pricePerTiB.dollars()},
		{"logs", requests * logBytes * pricePerLogs.dollars()},
		{"secrets", hours*secretReads*pricePerSecretRead.dollars() + versions*pricePerVersion.dollars()},
		{"uptime checks", checks * hours * running(leastBilled)},
	}
	if f.Passes > 0 {
		items = append(items, Item{"reconciler", pricePerSchedule.dollars() + passes*hours*running(f.Passing/float64(f.Passes))})
	}
	return items
}

// running returns the price of a request of this many seconds.
func running(seconds float64) float64 {
	return pricePerRequest.dollars() + seconds*(vCPUs*pricePerVCPUSecond.dollars()+memory*pricePerGiBSecond.dollars())
}

// machines returns the number of machines needed for a number of calls per month.
func machines(calls, cpu float64) float64 {
	return max(1, math.Ceil(calls/(hours*3600)*cpu/machineShare))
}

// total returns the sum of a bill.
func total(items []Item) (sum float64) {
	for _, i := range items {
		sum += i.Dollars
	}
	return sum
}

// turn returns the number of jobs per month up to which a way with webhooks costs less
// than one polling machine.
func turn(f Figures) float64 {
	fixed := total(bill(f, 0, 0))
	return (hours*pricePerMachine.dollars() - fixed) / (total(bill(f, 1, 0)) - fixed)
}
