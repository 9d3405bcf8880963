package localserver

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

// problems are pydantic's complaints, of which a reply shows the first ten in
// the order of its fields.
type problems struct {
	n        int
	first    []problem
	asItCame bool // in the order of the complaints instead
}

type problem struct {
	loc, text string
}

const (
	keptProblems  = 200
	shownProblems = 10
	shownInput    = 200
	shownProblem  = 1000
)

// order is that of the fields in vLLM's requests.
var order = rank("token_ids", "sampling_params", "messages", "model", "prompt", "echo", "frequency_penalty", "logit_bias", "logprobs",
	"top_logprobs", "max_tokens", "max_completion_tokens", "n", "presence_penalty", "seed", "stop", "stream", "stream_options",
	"temperature", "top_p", "top_k", "min_p", "repetition_penalty", "stop_token_ids", "include_stop_str_in_output", "ignore_eos",
	"min_tokens", "skip_special_tokens", "allowed_token_ids", "prompt_logprobs")

func rank(names ...string) map[string]int {
	out := map[string]int{}
	for i, name := range names {
		out[name] = i - len(names)
	}
	return out
}

// place is where a complaint about a location comes; unknown fields come last.
func place(loc string) int {
	parts := strings.Split(loc, ".")
	return order[parts[min(1, len(parts)-1)]]
}

func (p *problems) add(kind, loc, message string, input []byte, ctx string) {
	if p.n++; p.n > keptProblems {
		return
	}
	text := fmt.Sprintf("{'type': %s, 'loc': %s, 'msg': %s, 'input': %s", pyString(kind), pyString(loc), pyString(message), pyString(summary(input)))
	if ctx != "" {
		text += ", 'ctx': {" + ctx + "}"
	}
	if text += "}"; utf8.RuneCountInString(text) > shownProblem {
		text = string([]rune(text)[:shownProblem]) + "...[truncated]"
	}
	p.first = append(p.first, problem{loc, text})
}

// refusal is nil if there are no problems.
func (p *problems) refusal() *refusal {
	if p.n == 0 {
		return nil
	}
	if !p.asItCame {
		slices.SortStableFunc(p.first, func(a, b problem) int { return place(a.loc) - place(b.loc) })
	}
	label := "error"
	if p.n > 1 {
		label = "errors"
	}
	message := fmt.Sprintf("%d validation %s:", p.n, label)
	for _, problem := range p.first[:min(len(p.first), shownProblems)] {
		message += "\n  " + problem.text
	}
	if p.n > shownProblems {
		message += fmt.Sprintf("\n  ...and %d more errors", p.n-shownProblems)
	}
	return &refusal{status: http.StatusBadRequest, typ: "Bad Request", param: p.first[0].loc, message: message}
}

// summary is how a complaint shows the value it is about.
func summary(raw []byte) string {
	cut := func(s string) string {
		if utf8.RuneCountInString(s) > shownInput {
			return string([]rune(s)[:shownInput]) + "...[truncated]"
		}
		return s
	}
	switch kindOf(raw) {
	case kindNone, kindNull:
		return "None"
	case kindBool:
		return strings.ToUpper(string(raw[:1])) + string(raw[1:])
	case kindString:
		return cut(unquote(raw))
	case kindList:
		return fmt.Sprintf("<list of %d items>", length(raw))
	case kindObject:
		return fmt.Sprintf("<dict of %d items>", length(raw))
	case kindFloat:
		return pyFloat(float(raw))
	}
	return cut(string(raw))
}
