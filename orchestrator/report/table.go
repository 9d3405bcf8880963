package report

import "github.com/justrl/justrl/internal/numerals"

// mostRows is how many steps the table has at most, but for the last one.
const mostRows = 250

// table is all steps, or of a long run every so many.
type table struct {
	Every   int
	Columns []string
	Rows    []row
}

type row struct {
	Step  string
	Cells []string
}

// tableColumns are the main numbers of a step.
func tableColumns() []struct {
	name, key string
	scale     float64
	format    numerals.Format
} {
	return []struct {
		name, key string
		scale     float64
		format    numerals.Format
	}{
		{"reward", "critic/score/mean", 1, numerals.Reward},
		{"right", "reward/correct", 100, numerals.Percent},
		{"tokens, mean", "response_length/mean", 1, numerals.Plain},
		{"tokens, max", "response_length/max", 1, numerals.Plain},
		{"cut off", "response_length/clip_ratio", 100, numerals.Percent},
		{"entropy", "actor/entropy", 1, numerals.Plain},
		{"loss", "actor/pg_loss", 1, numerals.Plain},
		{"clipped", "actor/pg_clipfrac", 100, numerals.Percent},
		{"policy KL", "actor/ppo_kl", 1, numerals.Plain},
		{"gradient", "actor/grad_norm", 1, numerals.Plain},
		{"rate", "actor/lr", 1, numerals.Plain},
		{"mismatch KL", "mismatch/kl", 1, numerals.Plain},
		{"step time", "timing_s/step", 1, numerals.Seconds},
		{"tokens/s", "perf/throughput", 1, numerals.Plain},
	}
}

func (r *run) table() table {
	t := table{Every: 1}
	for r.steps.n/t.Every > mostRows {
		t.Every = nextRound(t.Every)
	}
	columns := tableColumns()
	for _, c := range columns {
		t.Columns = append(t.Columns, c.name)
	}
	t.Columns = append(t.Columns, "canary")
	for i := range r.steps.n {
		if i != 0 && i != r.steps.n-1 && (i+1)%t.Every != 0 {
			continue
		}
		cells := make([]string, 0, len(columns)+1)
		for _, c := range columns {
			cells = append(cells, c.format(r.steps.at(i, c.key)*c.scale))
		}
		canary := r.steps.canary[i]
		if canary == "" {
			canary = numerals.None
		}
		t.Rows = append(t.Rows, row{Step: numerals.Step(r.steps.at(i, "step") + 1), Cells: append(cells, canary)})
	}
	return t
}

// nextRound is the next of 1, 2, 5, 10, 20, 50 and so on.
func nextRound(n int) int {
	next := 1
	for next <= n {
		switch lead := leading(next); lead {
		case 2:
			next = next / 2 * 5
		default:
			next *= 2
		}
	}
	return next
}

func leading(n int) int {
	for n >= 10 {
		n /= 10
	}
	return n
}
