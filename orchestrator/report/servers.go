package report

import (
	"math"

	"github.com/justrl/justrl/internal/numerals"
	"github.com/justrl/justrl/orchestrator/journal"
)

// serverRow is what one server did in the steps that are recorded.
type serverRow struct {
	Server string
	Cells  []string
}

// serverColumns are those of serverRow's cells.
var serverColumns = []string{"samples", "tokens", "time asked", "tokens/s", "retries", "stragglers", "fenced", "rejoined"}

// serverSums is a serverRow in numbers.
type serverSums struct {
	samples, tokens     int64
	seconds             float64 // 0 while no record says
	retries, stragglers int64
	fenced, rejoined    int64
}

// serverRows are the run's servers in the order of run.json, and then of their
// first record; none for a run with one server to which nothing happened.
func (r *run) serverRows() []serverRow {
	by := map[string]*serverSums{}
	var names []string
	of := func(name string) *serverSums {
		s := by[name]
		if s == nil {
			s = &serverSums{}
			by[name], names = s, append(names, name)
		}
		return s
	}
	if len(r.info.Servers) > 1 {
		for _, name := range r.info.Servers {
			of(name)
		}
	}
	happened := false
	for _, step := range r.steps {
		for _, p := range step.servers {
			s := of(p.Server)
			s.samples, s.tokens = s.samples+int64(p.Rollouts), s.tokens+int64(p.Tokens)
			s.retries, s.stragglers = s.retries+int64(p.Retries), s.stragglers+int64(p.Stragglers)
			s.seconds += p.Seconds
		}
		for _, e := range step.events {
			s := of(e.Server)
			happened = true
			switch e.Event {
			case journal.ServerFenced:
				s.fenced++
			case journal.ServerRejoined:
				s.rejoined++
			}
		}
	}
	if len(names) < 2 && !happened {
		return nil
	}
	var rows []serverRow
	for _, name := range names {
		s := by[name]
		took, rate := numerals.None, numerals.None
		if s.seconds > 0 && numerals.Finite(s.seconds) { // older runs did not say
			took, rate = numerals.Duration(s.seconds), numerals.Plain(math.Round(float64(s.tokens)/s.seconds))
		}
		rows = append(rows, serverRow{name, []string{
			numerals.Count(s.samples), numerals.Count(s.tokens), took, rate,
			numerals.Count(s.retries), numerals.Count(s.stragglers), numerals.Count(s.fenced), numerals.Count(s.rejoined),
		}})
	}
	return rows
}
