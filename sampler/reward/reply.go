package reward

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/justrl/justrl/sampler"
)

// request is what a verifier of the user's own is asked.
type request struct {
	ID          uint64 `json:"id"`
	Response    string `json:"response"`
	GroundTruth string `json:"ground_truth"`
}

// reply is what it answers: a score, or an error.
type reply struct {
	ID      json.RawMessage `json:"id"`
	Score   *float64        `json:"score"`
	Correct *bool           `json:"correct"` // missing: a score above 0
	Answer  *string         `json:"answer"`
	Error   *string         `json:"error"`
}

// is tells whether the reply has the request's id, as a number or as text.
func (r reply) is(id uint64) bool {
	n := strconv.FormatUint(id, 10)
	return string(r.ID) == n || string(r.ID) == strconv.Quote(n)
}

// maxScore is what a score may be at most, either way: squares of rewards are summed.
const maxScore = 1e6

// judgement is the score of a reply, or its error.
func (r reply) judgement() (s sampler.Score, err error) {
	switch {
	case r.Error != nil:
		return s, fmt.Errorf("it says: %s", short(*r.Error))
	case r.Score == nil:
		return s, errors.New("its reply has neither score nor error")
	case math.Abs(*r.Score) > maxScore:
		return s, fmt.Errorf("its score of %g is beyond %g", *r.Score, maxScore)
	}
	s.Reward, s.Correct = *r.Score, *r.Score > 0
	if r.Correct != nil {
		s.Correct = *r.Correct
	}
	if r.Answer != nil {
		s.Answer = *r.Answer
	}
	return s, nil
}

// short is s on one line, cut to what an error may hold.
func short(s string) string {
	const most = 300
	r := []rune(strings.Join(strings.Fields(strings.ToValidUTF8(s, "�")), " "))
	if len(r) > most {
		return string(r[:most]) + "…"
	}
	return string(r)
}
