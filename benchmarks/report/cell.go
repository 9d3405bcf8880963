package report

import (
	"cmp"
	"slices"
	"strings"

	"github.com/justrl/justrl/benchmarks"
	"github.com/justrl/justrl/benchmarks/generations"
	"github.com/justrl/justrl/benchmarks/metrics"
)

// Cell is one set answered by one contender.
type Cell struct {
	Contender *Contender
	Set       string // as the paper has it, where it does
	Sampling  generations.Name
	Results   metrics.Results
	Grader    string // what decided, with its versions; "" if the folder does not say
	// File is the path of the generations; "" where they are not to be found.
	File    string
	wrong   []benchmarks.Verdict      // by problem, then by sample
	rates   []metrics.Problem         // of each answer only whether it is correct
	columns map[string]map[int]string // of its problems: column → problem → value
}

// Contender is what is compared: a model under one prompt template and one kind
// of sampling. It has one cell for a set.
type Contender struct {
	Model    string
	Template string // "" is the paper's
	Folder   string
	sampling string // temperature, top-p and limit in words; n is a set's own
	Label    string // what the contenders of a report differ in
}

// PaperTemplate is what the paper's prompt template is called.
const PaperTemplate = "paper"

// template is its name to show.
func (c *Contender) template() string {
	if c.Template == "" {
		return PaperTemplate
	}
	return c.Template
}

// sampling says how a cell was sampled, but for how often.
func sampling(n generations.Name) string {
	var parts []string
	for _, p := range []struct{ name, value string }{{"T ", n.Temperature}, {"top-p ", n.TopP}, {"", n.MaxTokens}} {
		if p.value != "" {
			parts = append(parts, p.name+p.value)
		}
	}
	if n.MaxTokens != "" {
		parts[len(parts)-1] += " tokens"
	}
	return strings.Join(parts, ", ")
}

// label gives every contender a name that tells it from the others: the model,
// and the template, the sampling and the folder where they are needed for that.
func label(all []*Contender) {
	parts := []func(c *Contender) string{
		func(c *Contender) string { return c.Model },
		(*Contender).template,
		func(c *Contender) string { return c.sampling },
		func(c *Contender) string { return c.Folder },
	}
	for _, c := range all {
		c.Label = c.Model
	}
	for _, part := range parts[1:] {
		groups := map[string][]*Contender{}
		for _, c := range all {
			groups[c.Label] = append(groups[c.Label], c)
		}
		for _, group := range groups {
			if len(group) < 2 || !slices.ContainsFunc(group, func(c *Contender) bool { return part(c) != part(group[0]) }) {
				continue
			}
			for _, c := range group {
				c.Label += " · " + part(c)
			}
		}
	}
}

// sortSets puts the paper's sets in its order, and the others after them.
func sortSets(names []string) {
	place := func(name string) int {
		if i := slices.Index(PublishedSets(), name); i >= 0 {
			return i
		}
		return len(PublishedSets())
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(place(a), place(b)), cmp.Compare(a, b)) })
}
