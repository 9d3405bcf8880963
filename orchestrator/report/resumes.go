package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/justrl/justrl/internal/numerals"
	"github.com/justrl/justrl/orchestrator/journal"
)

// mostResumes is how many are shown, the newest.
const mostResumes = 50

// resumeFacts say where the run was taken up again, and what was other than before.
func resumeFacts(all []journal.Resume) (facts []fact) {
	if n := len(all) - mostResumes; n > 0 {
		facts = append(facts, fact{"resumed", numerals.CountOf(n, "older time") + " in resumes.jsonl"})
		all = all[n:]
	}
	for _, r := range all {
		parts := []string{fmt.Sprintf("%s, justrl %s on %s with %s", r.Time.UTC().Format(time.DateTime), r.Version, r.Host, numerals.CountOf(r.CPUs, "CPU"))}
		for _, what := range []struct {
			name string
			keys []string
		}{{"another recipe", r.Recipe}, {"changed", r.Changed}, {"damaged checkpoints", r.Damaged}} {
			if len(what.keys) > 0 {
				parts = append(parts, what.name+": "+strings.Join(what.keys, ", "))
			}
		}
		facts = append(facts, fact{"resumed at step " + numerals.Count(int64(r.NextStep)+1), strings.Join(parts, "; ")})
	}
	return facts
}
