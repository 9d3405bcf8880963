package report

import "strings"

// Source is where the published figures are from: the paper's main tables.
const Source = "arXiv 2512.16649"

// PublishedRow is a model of the paper: avg@k in percent (k = 32; 4 on MATH-500,
// Minerva and Olympiad-Bench), temperature 0.7, top-p 0.9, 31,744 tokens.
type PublishedRow struct {
	Model  string             `json:"model"`
	Scores map[string]float64 `json:"scores"` // by the name of the set
	Mean   float64            `json:"mean"`   // over the nine sets, as printed
	Base   float64            `json:"base"`   // the mean of the model that it was trained from
}

// PublishedSets are the nine sets, in the order of the paper.
func PublishedSets() []string {
	return []string{"AIME24", "AIME25", "AMC23", "MATH-500", "Minerva", "Olympiad-Bench", "HMMT25", "BRUMO25", "CMIMC25"}
}

// Published are the paper's own results.
func Published() []PublishedRow {
	row := func(model string, mean, base float64, scores ...float64) PublishedRow {
		r := PublishedRow{Model: model, Scores: map[string]float64{}, Mean: mean, Base: base}
		for i, set := range PublishedSets() {
			r.Scores[set] = scores[i]
		}
		return r
	}
	return []PublishedRow{
		row("JustRL-DeepSeek-1.5B", 54.87, 37.65, 52.60, 38.75, 91.02, 91.65, 51.47, 67.99, 21.98, 52.71, 25.63),
		row("JustRL-Nemotron-1.5B", 64.32, 56.74, 69.69, 62.92, 96.02, 94.15, 30.24, 76.59, 40.63, 66.88, 41.72),
	}
}

// setName is a set's name as the paper has it, whatever a file calls it; a set
// that the paper does not have keeps its own.
func setName(task string) string {
	for _, name := range PublishedSets() {
		if bare(name) == bare(task) {
			return name
		}
	}
	return task
}

// bare is a name without what people write in different ways.
func bare(name string) string {
	return strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(name))
}
