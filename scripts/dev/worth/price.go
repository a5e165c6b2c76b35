package main

import (
	"math"
	"strconv"
	"strings"
)

// A price is a list price in dollars as the README's section "What it costs" writes it,
// "0.40/M". A test compares the two.
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

// Prices that the receivers alone do not need, of the same list.
const (
	pricePerRead     price = "0.03/100,000"
	pricePerSchedule price = "0.10"   // a job of Cloud Scheduler, a month
	pricePerMachine  price = "0.0084" // an e2-micro, an hour
)

// dollars returns the price of one unit: of a byte if it is given by TiB or GiB.
func (p price) dollars() float64 {
	text, per, _ := strings.Cut(string(p), "/")
	units := map[string]float64{"": 1, "M": 1e6, "100,000": 1e5, "10,000": 1e4, "TiB": 1 << 40, "GiB": 1 << 30}
	value, err := strconv.ParseFloat(text, 64)
	if err != nil || units[per] == 0 {
		panic("no price: " + string(p))
	}
	return value / units[per]
}

// Quantities that are billed and not measured. The instance is that of the functions.
const (
	hours         = 730.0 // of a month
	vCPUs, memory = 1, .5 // of an instance; GiB
	leastBilled   = .1    // seconds of a request, each alone on its instance
	fetchSeconds  = .3    // of the subscriber: the call of the API, of which no latency is published
	messageBytes  = 1000  // the least that is billed, published and delivered
	logBytes      = 600   // of a request's line
	secretReads   = 12    // an hour
	versions      = 2     // of the secret
	checks        = 2 * 6 * 12
	passes        = 6   // an hour
	machineShare  = .25 // vCPUs that an e2-micro has all the time
)

// An Item is a line of a bill.
type Item struct {
	Name    string
	Dollars float64
}

// bill returns what a way costs in a month of n jobs that are as those measured. cpu is
// the processor time of a poller's call, in seconds.
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

// running returns the price of a request that is served for some seconds.
func running(seconds float64) float64 {
	return pricePerRequest.dollars() + seconds*(vCPUs*pricePerVCPUSecond.dollars()+memory*pricePerGiBSecond.dollars())
}

// machines returns how many machines make so many calls in a month.
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

// turn returns the number of jobs a month up to which a way of webhooks costs less than
// one machine that polls.
func turn(f Figures) float64 {
	fixed := total(bill(f, 0, 0))
	return (hours*pricePerMachine.dollars() - fixed) / (total(bill(f, 1, 0)) - fixed)
}
