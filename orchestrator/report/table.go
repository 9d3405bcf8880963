package report

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
	format    format
} {
	return []struct {
		name, key string
		scale     float64
		format    format
	}{
		{"reward", "critic/score/mean", 1, reward},
		{"right", "reward/correct", 100, percent},
		{"tokens, mean", "response_length/mean", 1, plain},
		{"tokens, max", "response_length/max", 1, plain},
		{"cut off", "response_length/clip_ratio", 100, percent},
		{"entropy", "actor/entropy", 1, plain},
		{"loss", "actor/pg_loss", 1, plain},
		{"clipped", "actor/pg_clipfrac", 100, percent},
		{"policy KL", "actor/ppo_kl", 1, plain},
		{"gradient", "actor/grad_norm", 1, plain},
		{"rate", "actor/lr", 1, plain},
		{"mismatch KL", "mismatch/kl", 1, plain},
		{"step time", "timing_s/step", 1, seconds},
		{"tokens/s", "perf/throughput", 1, plain},
	}
}

func (r *run) table() table {
	t := table{Every: 1}
	for len(r.steps)/t.Every > mostRows {
		t.Every = nextRound(t.Every)
	}
	columns := tableColumns()
	for _, c := range columns {
		t.Columns = append(t.Columns, c.name)
	}
	t.Columns = append(t.Columns, "canary")
	for i, s := range r.steps {
		if i != 0 && i != len(r.steps)-1 && (i+1)%t.Every != 0 {
			continue
		}
		cells := make([]string, 0, len(columns)+1)
		for _, c := range columns {
			cells = append(cells, c.format(s.at(c.key)*c.scale))
		}
		canary := s.canary
		if canary == "" {
			canary = none
		}
		t.Rows = append(t.Rows, row{Step: step(s.done()), Cells: append(cells, canary)})
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
