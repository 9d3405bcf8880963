package metrics

import (
	"errors"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"

	"github.com/justrl/justrl/benchmarks"
)

// Results are the figures of one file. Scores and shares lie between 0 and 1.
type Results struct {
	// Of the authors' grade.py, in its order.
	MeanScore           float64 `json:"mean_score"`            // avg@k: mean of the problems' solve rates
	Distinct4Gram       float64 `json:"distinct_4gram"`        // mean of the problems' shares
	BestScore           float64 `json:"best_score"`            // share of problems that any answer solves
	SolveNone           int     `json:"solve_none"`            // problems that none solves
	SolveAll            int     `json:"solve_all"`             // problems that all solve
	AvgOutputLength     float64 `json:"avg_output_length"`     // tokens an answer; 0 where none are known
	FormatErrorRollouts int     `json:"format_error_rollouts"` // responses without the letters "boxed"

	Problems   int `json:"problems"`
	Answers    int `json:"answers"`
	SamplesMin int `json:"samples_min"` // answers that the problems have, the fewest and the most
	SamplesMax int `json:"samples_max"`

	MeanScore95 Interval `json:"mean_score_95"`
	BestScore95 Interval `json:"best_score_95"`

	PassAtK     []AtK `json:"pass_at_k"`     // up to SamplesMin; every k up to 64, then powers of two
	MajorityAtK []AtK `json:"majority_at_k"` // likewise
	// MajoritySE bounds the standard error of MajorityAtK where draws were
	// sampled for it ([Majority]); 0 where all of it is exact, and only there.
	MajoritySE float64 `json:"majority_se,omitempty"`

	// Truncated is the share of answers that ended at max_tokens, of those whose
	// end is known; nil if none is.
	Truncated  *float64 `json:"truncated"`
	Tokens     *Lengths `json:"output_tokens"` // of the answers whose length is known; nil if none is
	Characters *Lengths `json:"output_characters"`
	Verdicts   Verdicts `json:"verdicts"`
}

// AtK is a figure of k answers a problem.
type AtK struct {
	K    int      `json:"k"`
	Mean float64  `json:"mean"`
	In95 Interval `json:"in_95"`
}

// Lengths are quantiles of the answers' lengths, each one that an answer has.
type Lengths struct {
	Known  int     `json:"known"` // answers whose length is known
	Mean   float64 `json:"mean"`
	Min    int     `json:"min"`
	P10    int     `json:"p10"`
	Median int     `json:"p50"`
	P90    int     `json:"p90"`
	P99    int     `json:"p99"`
	Max    int     `json:"max"`
}

// Verdicts counts who found what.
type Verdicts struct {
	RuleCorrect  int            `json:"rule_correct"`
	JudgeCorrect int            `json:"judge_correct"`
	Judged       int            `json:"judged"`     // the judge was asked
	Judgements   map[string]int `json:"judgements"` // its answers: A, B, C, ?
	Errors       int            `json:"errors"`     // a verifier gave no verdict, timeouts included
	Timeouts     int            `json:"timeouts"`
}

// Compute gives the figures of problems. The seed is that of the bootstrap.
func Compute(problems []Problem, seed uint64) (Results, error) {
	if len(problems) == 0 {
		return Results{}, errors.New("there are no answers")
	}
	r := Results{Problems: len(problems), SamplesMin: len(problems[0].Answers)}
	for _, p := range problems {
		n := len(p.Answers)
		if n == 0 {
			return Results{}, errors.New("a problem has no answers")
		}
		r.SamplesMin, r.SamplesMax = min(r.SamplesMin, n), max(r.SamplesMax, n)
		r.Answers += n
		switch p.correct() {
		case 0:
			r.SolveNone++
		case n:
			r.SolveAll++
		}
	}
	r.average(problems, seed)
	r.count(problems)
	return r, nil
}

// average fills what is a mean over problems.
func (r *Results) average(problems []Problem, seed uint64) {
	ks := sizes(r.SamplesMin)
	variance := make([]float64, len(ks)) // of the sum of the majorities, at most
	rows := make([][]float64, len(problems))
	for i, p := range problems {
		n, c := len(p.Answers), p.correct()
		row := []float64{p.SolveRate(), min(float64(c), 1), p.Distinct4}
		for _, k := range ks {
			row = append(row, PassAtK(n, c, k))
		}
		votes, orders := Majority(p.Answers)
		for j, k := range ks {
			row = append(row, votes[k-1])
			if orders > 0 && k > 1 && k < n {
				variance[j] += drawVariance(votes[k-1], orders)
			}
		}
		rows[i] = row
	}
	in95 := intervals(rows, seed)
	mean := func(c int) float64 {
		sum := 0.0
		for _, row := range rows {
			sum += row[c]
		}
		return sum / float64(len(rows))
	}
	r.MeanScore, r.MeanScore95 = mean(0), in95[0]
	r.BestScore, r.BestScore95 = mean(1), in95[1]
	r.Distinct4Gram = mean(2)
	for i, k := range ks {
		r.PassAtK = append(r.PassAtK, AtK{k, mean(3 + i), in95[3+i]})
		c := 3 + len(ks) + i
		r.MajorityAtK = append(r.MajorityAtK, AtK{k, mean(c), in95[c]})
		r.MajoritySE = max(r.MajoritySE, math.Sqrt(variance[i])/float64(len(problems)))
	}
}

// drawVariance bounds the variance of a mean m over random orders. That every order
// scored the same does not make it exact: by the rule of three, what none of N shows
// may still be as frequent as 3/N.
func drawVariance(m float64, orders int) float64 {
	least := 3 / float64(orders)
	m = min(max(m, least), 1-least)
	return m * (1 - m) / float64(orders)
}

// everyK is up to how many answers there is a figure of every k.
const everyK = 64

// sizes are the ks of which figures are given.
func sizes(n int) []int {
	var ks []int
	for k := 1; k <= n; k++ {
		if n <= everyK || k == n || k&(k-1) == 0 {
			ks = append(ks, k)
		}
	}
	return ks
}

// count fills what is counted over answers.
func (r *Results) count(problems []Problem) {
	var tokens, characters []float64
	ends, cut := 0, 0
	v := Verdicts{Judgements: map[string]int{}}
	for _, p := range problems {
		for _, a := range p.Answers {
			if !a.Boxed {
				r.FormatErrorRollouts++
			}
			if a.Tokens > 0 {
				tokens = append(tokens, float64(a.Tokens))
			}
			characters = append(characters, float64(a.Characters))
			if a.FinishReason != "" {
				ends++
			}
			if a.FinishReason == "length" {
				cut++
			}
			v.add(a)
		}
	}
	r.Verdicts = v
	r.Tokens, r.Characters = lengths(tokens), lengths(characters)
	if r.Tokens != nil {
		r.AvgOutputLength = r.Tokens.Mean
	}
	if ends > 0 {
		share := float64(cut) / float64(ends)
		r.Truncated = &share
	}
}

func (v *Verdicts) add(a Answer) {
	switch {
	case a.Correct && a.By == benchmarks.ByJudge:
		v.JudgeCorrect++
	case a.Correct:
		v.RuleCorrect++
	}
	if a.Judgement != "" {
		v.Judged++
		v.Judgements[a.Judgement]++
	}
	if a.Failed {
		v.Errors++
	}
	if a.TimedOut {
		v.Timeouts++
	}
}

func lengths(x []float64) *Lengths {
	if len(x) == 0 {
		return nil
	}
	slices.Sort(x)
	at := func(p float64) int { return int(stat.Quantile(p, stat.Empirical, x, nil)) }
	return &Lengths{Known: len(x), Mean: stat.Mean(x, nil), Min: int(x[0]), P10: at(0.1), Median: at(0.5), P90: at(0.9), P99: at(0.99), Max: int(x[len(x)-1])}
}
