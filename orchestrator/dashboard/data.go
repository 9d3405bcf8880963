package dashboard

import (
	"errors"
	"io/fs"
	"net/http"
	"strconv"

	"github.com/justrl/justrl/internal/guard"
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/orchestrator/report"
)

// giveCurves answers with the figures of all steps after the first so many.
func (p *Page) giveCurves(w http.ResponseWriter, r *http.Request) {
	after, ok := number(w, r, "after", 0)
	if !ok {
		return
	}
	c, err := p.live.Curves(after)
	if err != nil {
		fault(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(encodeCurves(p.instance, c)) // the client may be gone
}

// giveEvents answers with the newest events.
func (p *Page) giveEvents(w http.ResponseWriter, _ *http.Request) {
	events, n, err := p.live.Events()
	if err != nil {
		fault(w, err)
		return
	}
	if events == nil {
		events = []journal.Event{}
	}
	reply(w, struct {
		Instance string          `json:"instance"`
		Count    int             `json:"count"`
		Events   []journal.Event `json:"events"`
	}{p.instance, n, events})
}

// giveRollouts answers with a few answers of a step, the newest that is kept by
// default, and says which steps' are kept.
func (p *Page) giveRollouts(w http.ResponseWriter, r *http.Request) {
	step, ok := number(w, r, "step", -1)
	if !ok {
		return
	}
	steps, err := journal.RolloutSteps(p.Dir)
	if err != nil {
		fault(w, err)
		return
	}
	answer := struct {
		Steps   []int           `json:"steps"` // counted from 0
		Step    int             `json:"step"`
		Excerpt *report.Excerpt `json:"excerpt"` // null where none are kept
	}{Steps: steps, Step: step}
	if step < 0 && len(steps) > 0 {
		answer.Step = steps[len(steps)-1]
	}
	if answer.Step >= 0 {
		e, err := p.live.Rollouts(answer.Step)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // it may just have been dropped
			fault(w, err)
			return
		}
		if err == nil {
			answer.Excerpt = &e
		}
	}
	reply(w, answer)
}

// giveHeldOut answers with held-out problems answered before and after.
func (p *Page) giveHeldOut(w http.ResponseWriter, _ *http.Request) {
	sets, err := p.live.HeldOut()
	if err != nil {
		fault(w, err)
		return
	}
	if sets == nil {
		sets = []report.AnswerSet{}
	}
	reply(w, struct {
		Sets []report.AnswerSet `json:"sets"`
	}{sets})
}

func reply(w http.ResponseWriter, body any) {
	w.Header().Set("Cache-Control", "no-store")
	guard.Reply(w, http.StatusOK, body)
}

func fault(w http.ResponseWriter, err error) {
	guard.Refuse(w, http.StatusInternalServerError, err.Error())
}

// number is a whole number of the query; not ok where it was answered that it is none.
func number(w http.ResponseWriter, r *http.Request, key string, without int) (n int, ok bool) {
	text := r.URL.Query().Get(key)
	if text == "" {
		return without, true
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > 1e9 {
		guard.Refuse(w, http.StatusBadRequest, key+" must be a whole number from 0 on")
		return 0, false
	}
	return n, true
}
