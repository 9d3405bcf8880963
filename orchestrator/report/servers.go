package report

import (
	"slices"

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

// serverTally adds up what the records say of servers.
type serverTally struct {
	by       map[string]*serverSums
	names    []string // in the order of their first record
	happened bool     // anything at all to any of them
}

func (t *serverTally) of(name string) *serverSums {
	s := t.by[name]
	if s == nil {
		if t.by == nil {
			t.by = map[string]*serverSums{}
		}
		s = &serverSums{}
		t.by[name], t.names = s, append(t.names, name)
	}
	return s
}

// add takes a record in.
func (t *serverTally) add(r record) {
	for _, p := range r.servers {
		s := t.of(p.Server)
		s.samples, s.tokens = s.samples+int64(p.Rollouts), s.tokens+int64(p.Tokens)
		s.retries, s.stragglers = s.retries+int64(p.Retries), s.stragglers+int64(p.Stragglers)
		s.seconds += p.Seconds
	}
	for _, e := range r.events {
		s := t.of(e.Server)
		t.happened = true
		switch e.Event {
		case journal.ServerFenced:
			s.fenced++
		case journal.ServerRejoined:
			s.rejoined++
		}
	}
}

// serverRows are the run's servers in the order of run.json, and then of their
// first record; none for a run with one server to which nothing happened.
func (r *run) serverRows() []serverRow {
	t := &r.steps.servers
	var names []string
	if len(r.info.Servers) > 1 {
		names = append(names, r.info.Servers...)
	}
	for _, name := range t.names {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) < 2 && !t.happened {
		return nil
	}
	var rows []serverRow
	for _, name := range names {
		s := t.of(name)
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
