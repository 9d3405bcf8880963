package report

// Axis is what curves can be drawn over. The first is the steps themselves; the
// others are sums over the steps of something that each record has, so that runs
// of unequal steps compare. Another one is a line of [axes].
type Axis struct {
	ID, Name, Unit string
	// Each is what every step adds, NaN where its record does not say; nil for the steps.
	Each []float64
}

// axes are those that the run's records have something for.
func (r *run) axes() []Axis {
	all := []Axis{{ID: "step", Name: "steps", Unit: "step"}}
	for _, a := range []struct{ id, name, unit, key string }{
		{"tokens", "tokens trained on", "tokens", "perf/total_num_tokens"},
		{"seconds", "time in steps", "seconds", "timing_s/step"},
	} {
		if len(r.steps.by[a.key]) > 0 {
			all = append(all, Axis{a.id, a.name, a.unit, r.column(a.key)})
		}
	}
	return all
}
