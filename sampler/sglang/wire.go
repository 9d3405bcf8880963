package sglang

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/justrl/justrl/sampler"
)

const generatePath = "/generate"

// generate is a request to /generate for several sequences at once: SGLang
// gives all n samples of one prompt the same parameters, seed included, but
// takes a list of prompts with parameters of their own.
type generate struct {
	InputIDs       [][]int32        `json:"input_ids"`
	SamplingParams []samplingParams `json:"sampling_params"`
	ReturnLogprob  bool             `json:"return_logprob"`
	// LogprobStartLen is the first prompt position with a log-prob; -1 is none.
	// SGLang reads no prefix cache beyond it.
	LogprobStartLen int  `json:"logprob_start_len"`
	TopLogprobsNum  int  `json:"top_logprobs_num"`
	ReturnText      bool `json:"return_text_in_logprobs"`
	Stream          bool `json:"stream"`
}

// samplingParams leaves nothing out, so that neither the server's
// --preferred-sampling-params nor the model's generation_config.json can change
// the distribution. Only the seed may be missing: SGLang before 0.5.3 refuses
// a field that it does not know.
type samplingParams struct {
	N                 int                `json:"n"`
	Temperature       float64            `json:"temperature"`
	TopP              float64            `json:"top_p"`
	TopK              int                `json:"top_k"`
	MinP              float64            `json:"min_p"`
	MaxNewTokens      int                `json:"max_new_tokens"`
	MinNewTokens      int                `json:"min_new_tokens"`
	StopTokenIDs      []int32            `json:"stop_token_ids"`
	IgnoreEOS         bool               `json:"ignore_eos"`
	RepetitionPenalty float64            `json:"repetition_penalty"`
	PresencePenalty   float64            `json:"presence_penalty"`
	FrequencyPenalty  float64            `json:"frequency_penalty"`
	SkipSpecialTokens bool               `json:"skip_special_tokens"`
	NoStopTrim        bool               `json:"no_stop_trim"`
	SamplingSeed      *int64             `json:"sampling_seed,omitempty"`
	LogitBias         map[string]float64 `json:"logit_bias,omitempty"` // for the probe alone
}

// plain are parameters of a greedy answer of so many tokens.
func plain(maxNewTokens int) samplingParams {
	return samplingParams{
		N: 1, TopP: 1, TopK: -1, MaxNewTokens: maxNewTokens, StopTokenIDs: []int32{},
		RepetitionPenalty: 1, SkipSpecialTokens: true,
	}
}

// newGenerate asks for r's samples, each with a seed of its own.
func (o Options) newGenerate(r sampler.Request) generate {
	p := plain(r.Params.MaxTokens)
	p.Temperature, p.TopP, p.TopK, p.MinP = r.Params.Temperature, r.Params.TopP, r.Params.TopK, r.Params.MinP
	if room := o.MaxModelLen - len(r.PromptTokenIDs); o.MaxModelLen > 0 && room > 0 {
		p.MaxNewTokens = min(p.MaxNewTokens, room) // SGLang refuses what cannot fit, where vLLM cuts it
	}
	if r.Params.StopTokenIDs != nil {
		p.StopTokenIDs = r.Params.StopTokenIDs
	}
	g := generate{ReturnLogprob: r.Params.Logprobs, LogprobStartLen: -1}
	for j := range r.Count {
		if o.Seeds {
			seed := r.Seed + int64(r.First+j)
			p.SamplingSeed = &seed
		}
		g.InputIDs = append(g.InputIDs, r.PromptTokenIDs)
		g.SamplingParams = append(g.SamplingParams, p)
	}
	return g
}

// answer is what is read of one sequence of the reply; everything else is skipped.
type answer struct {
	Text      string  `json:"text"`
	OutputIDs []int32 `json:"output_ids"`
	MetaInfo  struct {
		ID               string        `json:"id"`
		FinishReason     *finishReason `json:"finish_reason"`
		PromptTokens     int           `json:"prompt_tokens"`
		CompletionTokens int           `json:"completion_tokens"`
		WeightVersion    string        `json:"weight_version"`
		InputLogprobs    tokenLogprobs `json:"input_token_logprobs"`
		OutputLogprobs   tokenLogprobs `json:"output_token_logprobs"`
	} `json:"meta_info"`
}

type finishReason struct {
	Type       string `json:"type"`
	Message    string `json:"message"`     // of an abort
	StatusCode int    `json:"status_code"` // of an abort that was the request's own fault
}

// tokenLogprobs reads SGLang's [[log-prob, id, text], …]. The log-prob of a
// prompt's first token is null, here NaN; the text is null unless it was asked
// for, and is skipped.
type tokenLogprobs struct {
	IDs      []int32
	Logprobs []float32
}

// UnmarshalJSON implements json.Unmarshaler.
func (l *tokenLogprobs) UnmarshalJSON(b []byte) error {
	*l = tokenLogprobs{}
	s := scanner{b: b}
	if s.word("null") {
		return s.end()
	}
	s.must('[')
	for first := true; s.err == nil && !s.take(']'); first = false {
		if !first {
			s.must(',')
		}
		s.must('[')
		lp := s.logprob()
		s.must(',')
		id := s.id()
		if s.take(',') && !s.word("null") {
			s.text()
		}
		s.must(']')
		l.IDs, l.Logprobs = append(l.IDs, id), append(l.Logprobs, lp)
	}
	if err := s.end(); err != nil {
		*l = tokenLogprobs{}
		return fmt.Errorf("log-probs of tokens: entry %d: %w", len(l.IDs), err)
	}
	return nil
}

// scanner reads JSON that has been checked to be JSON, or at least does not
// trust it to be: the first thing that is not as it must be is its error.
type scanner struct {
	b   []byte
	at  int
	err error
}

func (s *scanner) space() {
	for s.at < len(s.b) && (s.b[s.at] == ' ' || s.b[s.at] == '\n' || s.b[s.at] == '\t' || s.b[s.at] == '\r') {
		s.at++
	}
}

func (s *scanner) take(c byte) bool {
	s.space()
	if s.err != nil || s.at >= len(s.b) || s.b[s.at] != c {
		return false
	}
	s.at++
	return true
}

func (s *scanner) must(c byte) {
	if !s.take(c) {
		s.fail(string(c))
	}
}

func (s *scanner) fail(want string) {
	if s.err == nil {
		s.err = fmt.Errorf("at byte %d is not %s", s.at, want)
	}
}

func (s *scanner) word(w string) bool {
	s.space()
	if s.err != nil || len(s.b)-s.at < len(w) || string(s.b[s.at:s.at+len(w)]) != w {
		return false
	}
	s.at += len(w)
	return true
}

func (s *scanner) number() string {
	s.space()
	from := s.at
	for s.at < len(s.b) && (s.b[s.at] >= '0' && s.b[s.at] <= '9' || s.b[s.at] == '-' || s.b[s.at] == '+' || s.b[s.at] == '.' || s.b[s.at] == 'e' || s.b[s.at] == 'E') {
		s.at++
	}
	return string(s.b[from:s.at])
}

func (s *scanner) logprob() float32 {
	if s.word("null") {
		return float32(math.NaN())
	}
	x, err := strconv.ParseFloat(s.number(), 32)
	if err != nil || math.IsInf(x, 0) {
		s.fail("a log-prob")
	}
	return float32(x)
}

func (s *scanner) id() int32 {
	x, err := strconv.ParseInt(s.number(), 10, 32)
	if err != nil {
		s.fail("a token id")
	}
	return int32(x)
}

func (s *scanner) text() {
	if !s.take('"') {
		s.fail("a text")
		return
	}
	for s.at < len(s.b) {
		switch s.b[s.at] {
		case '"':
			s.at++
			return
		case '\\':
			s.at++
		}
		s.at++
	}
	s.fail("the end of a text")
}

func (s *scanner) end() error {
	s.space()
	if s.err == nil && s.at != len(s.b) {
		s.err = errors.New("there is more after it")
	}
	return s.err
}
