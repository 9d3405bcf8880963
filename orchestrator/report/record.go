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

// at is the number under a key; NaN if there is none.
func (r record) at(key string) float64 {
	if x, ok := r.numbers[key]; ok {
		return x
	}
	return math.NaN()
}

// done is the number of steps done after this one; NaN if the record has no number.
func (r record) done() float64 { return r.at("step") + 1 }

// column is one number of every step.
func (r *run) column(key string) []float64 {
	all := make([]float64, len(r.steps))
	for i, s := range r.steps {
		all[i] = s.at(key)
	}
	return all
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
