package report

import (
	"encoding/json"
	"math"
	"strconv"

	"github.com/justrl/justrl/internal/numerals"
	"github.com/justrl/justrl/orchestrator/journal"
)

// record is a line of steps.jsonl as the report wants it: every number under
// its key, so that a figure that an older run did not have is a gap and not a 0.
type record struct {
	numbers map[string]float64
	sha256  string // of the weights after the step; "" if the run did not say
	canary  string // "passed", "failed", or "" if the run did not say
	servers []journal.ServerPart
	events  []journal.ServerEvent
}

// UnmarshalJSON keeps the numbers of the top level and the few other fields that are shown.
func (r *record) UnmarshalJSON(b []byte) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil {
		return err
	}
	*r = record{numbers: map[string]float64{}}
	for key, value := range fields {
		if c := value[0]; c != '-' && (c < '0' || c > '9') {
			continue
		}
		x, err := strconv.ParseFloat(string(value), 64)
		if err == nil { // what no float64 holds is a gap
			r.numbers[key] = x
		}
	}
	// Of another type, these are as good as missing.
	_ = json.Unmarshal(fields["weights_sha256"], &r.sha256)
	if json.Unmarshal(fields["perf/servers"], &r.servers) != nil {
		r.servers = nil
	}
	if json.Unmarshal(fields["perf/server_events"], &r.events) != nil {
		r.events = nil
	}
	var canary struct {
		Passed *bool `json:"passed"`
	}
	if err := json.Unmarshal(fields["canary"], &canary); err == nil && canary.Passed != nil {
		r.canary = "failed"
		if *canary.Passed {
			r.canary = "passed"
		}
	}
	return nil
}

// columns are the records of a run, each number under its key a list over the
// steps: a long run takes megabytes so, and not a hundred.
type columns struct {
	n      int                  // steps
	by     map[string][]float64 // as long as the last step that has the number
	canary []string
	sha256 string // of the last step

	servers serverTally
}

// add appends a record.
func (c *columns) add(r record) {
	if c.by == nil {
		c.by = map[string][]float64{}
	}
	for key, x := range r.numbers {
		c.by[key] = append(padded(c.by[key], c.n), x)
	}
	c.servers.add(r)
	c.canary, c.sha256 = append(c.canary, r.canary), r.sha256
	c.n++
}

// padded makes a list so long with NaN.
func padded(y []float64, n int) []float64 {
	for len(y) < n {
		y = append(y, math.NaN())
	}
	return y
}

// at is the number of a step under a key; NaN if there is none.
func (c *columns) at(i int, key string) float64 {
	if y := c.by[key]; i < len(y) {
		return y[i]
	}
	return math.NaN()
}

// column is a copy of one number of every step from the first that is wanted on.
func (r *run) column(key string) []float64 {
	y := r.steps.by[key]
	all := make([]float64, 0, r.steps.n-r.from)
	if r.from < len(y) {
		all = append(all, y[r.from:]...)
	}
	return padded(all, r.steps.n-r.from)
}

// sum adds up one number of every step, where it is there.
func (r *run) sum(key string) float64 {
	total := 0.0
	for _, x := range r.column(key) {
		if numerals.Finite(x) {
			total += x
		}
	}
	return total
}
