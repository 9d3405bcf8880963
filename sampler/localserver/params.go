package localserver

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	maxLogprobs = 20   // --max-logprobs
	maxStops    = 4    // stop strings of a request
	maxSalt     = 128  // characters
	coldest     = 0.01 // lower temperatures are raised to it, but for 0
)

// params are the sampling parameters of a request as they came, and what else
// all generating routes know.
type params struct {
	n                int64
	seed             *int64
	temperature      *float64
	topP, minP       *float64
	topK             *int64
	maxTokens        *int64
	minTokens        int64
	stop             []string
	stopIDs          []int64
	allowed          []int64
	bias             map[string]float64
	ignoreEOS        bool
	includeStop      bool
	skipSpecial      bool
	repetition       *float64
	presence         *float64
	frequency        *float64
	logprobs         *int64 // of each sampled token; nil = none
	promptLogprobs   *int64
	salt             string
	stream           bool
	usage, usageEach bool // in streams: at the end, with each event
	returnIDs        bool
	tokensAsIDs      bool
	defaults         Defaults
}

// unsupported are fields that change an answer and that this server has not;
// the values that change nothing are let pass.
var unsupported = []string{
	"use_beam_search", "bad_words", "logprob_token_ids", "prompt_embeds", "response_format", "structured_outputs",
	"truncate_prompt_tokens", "suffix", "repetition_detection", "thinking_token_budget", "watermarking", "priority",
	"guided_json", "guided_regex", "guided_choice", "guided_grammar",
}

// early are the checks that vLLM makes before it looks at any type.
func (f *form) early(chat bool) *refusal {
	salt, ok := f.fields["cache_salt"]
	if ok && kindOf(salt) != kindNull {
		switch text := unquoteText(salt); {
		case text == "":
			return invalid("cache_salt", "Parameter 'cache_salt' must be a non-empty string if provided. (parameter=cache_salt)")
		case utf8.RuneCountInString(text) > maxSalt || strings.ContainsAny(text, "@/\\\x00"):
			return invalid("cache_salt", `Parameter 'cache_salt' must be at most 128 characters and must not contain '@', '/', '\\', or NUL. (parameter=cache_salt)`)
		}
	}
	if f.truthy("stream_options") && !f.truthy("stream") {
		return invalid("stream_options", "Stream options can only be defined when `stream=True`. (parameter=stream_options)")
	}
	counts := []string{"prompt_logprobs", "logprobs"}
	if chat {
		counts[1] = "top_logprobs"
	}
	for _, name := range counts {
		if !f.given(name) {
			continue
		}
		raw := f.fields[name]
		if k := kindOf(raw); k != kindInt && k != kindFloat && k != kindBool {
			return invalidf(name, summary(raw), "`%s` must be an integer.", name)
		}
		x := 0.0
		if kindOf(raw) != kindBool {
			x = float(raw)
		} else if raw[0] == 't' {
			x = 1
		}
		switch {
		case name == "prompt_logprobs" && f.truthy("stream") && (x > 0 || x == -1):
			return invalid(name, "`prompt_logprobs` are not available when `stream=True`. (parameter=prompt_logprobs)")
		case x < 0 && x != -1:
			return invalidf(name, summary(raw), "`%s` must be a positive value or -1.", name)
		case name == "top_logprobs" && x != 0 && !f.truthy("logprobs"):
			return invalid(name, "when using `top_logprobs`, `logprobs` must be set to true. (parameter=top_logprobs)")
		}
	}
	for _, name := range unsupported {
		if f.truthy(name) && (name != "response_format" || !f.isText(name)) {
			return invalid(name, fmt.Sprintf("`%s` is not supported by this server. (parameter=%s)", name, name))
		}
	}
	return nil
}

func (f *form) isText(name string) bool {
	fields, ok := f.object(name)
	return ok && unquoteText(fields["type"]) == "text"
}

// unquoteText is the text of a string, "" for other values.
func unquoteText(raw []byte) string {
	if kindOf(raw) != kindString {
		return ""
	}
	return unquote(raw)
}

// params reads the parameters; complaints are kept in the form.
func (f *form) params() params {
	p := params{
		n: 1, seed: f.integer("seed", true), temperature: f.number("temperature"), topP: f.number("top_p"), minP: f.number("min_p"),
		topK: f.integer("top_k", true), maxTokens: f.integer("max_tokens", true), minTokens: deref(f.integer("min_tokens", false), 0),
		stop: f.stops(), stopIDs: f.ids("stop_token_ids"), allowed: f.ids("allowed_token_ids"), bias: f.biases(),
		ignoreEOS: f.flag("ignore_eos", false, false), includeStop: f.flag("include_stop_str_in_output", false, false),
		skipSpecial: f.flag("skip_special_tokens", false, true), repetition: f.number("repetition_penalty"),
		presence: f.number("presence_penalty"), frequency: f.number("frequency_penalty"),
		promptLogprobs: f.integer("prompt_logprobs", true), salt: unquoteText(f.fields["cache_salt"]),
		stream: f.flag("stream", true, false), returnIDs: f.flag("return_token_ids", true, false),
		tokensAsIDs: f.flag("return_tokens_as_token_ids", true, false),
	}
	if p.seed != nil {
		switch text := string(f.fields["seed"]); {
		case *p.seed == math.MaxInt64 && text != strconv.FormatInt(math.MaxInt64, 10):
			f.problems.add("less_than_equal", f.loc("seed"), "Input should be less than or equal to 9223372036854775807", f.fields["seed"], "'le': 9223372036854775807")
		case *p.seed == math.MinInt64 && text != strconv.FormatInt(math.MinInt64, 10):
			f.problems.add("greater_than_equal", f.loc("seed"), "Input should be greater than or equal to -9223372036854775808", f.fields["seed"], "'ge': -9223372036854775808")
		}
	}
	if f.given("stream_options") && f.kind("stream_options") != kindObject {
		f.problems.add("model_attributes_type", f.loc("stream_options"), "Input should be a valid dictionary or object to extract fields from", f.fields["stream_options"], "")
	} else if options, ok := f.object("stream_options"); ok {
		o := form{fields: options, at: f.loc("stream_options"), problems: f.problems}
		p.usage = o.flag("include_usage", true, false)
		p.usageEach = p.usage && o.flag("continuous_usage_stats", true, false)
	}
	return p
}

// stops reads one stop string or a list of them.
func (f *form) stops() []string {
	const name, wrong = "stop", "Input should be a valid string"
	raw := f.fields[name]
	switch kindOf(raw) {
	case kindNone, kindNull:
		return nil
	case kindString:
		return []string{unquote(raw)}
	case kindList:
	default:
		f.problems.add("string_type", f.loc(name), wrong, raw, "")
		f.problems.add("list_type", f.loc(name), "Input should be a valid list", raw, "")
		return nil
	}
	if n := length(raw); n > maxStops {
		f.problems.add("string_type", f.loc(name), wrong, raw, "")
		f.problems.add("too_long", f.loc(name), fmt.Sprintf("List should have at most %d items after validation, not %d", maxStops, n), raw,
			fmt.Sprintf("'field_type': 'List', 'max_length': %d, 'actual_length': %d", maxStops, n))
		return nil
	}
	elements := list(raw)
	if i := slices.IndexFunc(elements, func(x []byte) bool { return kindOf(x) != kindString }); i >= 0 {
		f.problems.add("string_type", f.loc(name), wrong, raw, "")
	}
	var out []string
	for i, x := range elements {
		if kindOf(x) != kindString {
			f.problems.add("string_type", f.loc(name)+"."+strconv.Itoa(i), wrong, x, "")
			continue
		}
		out = append(out, unquote(x))
	}
	return out
}

func (f *form) biases() map[string]float64 {
	fields, ok := f.object("logit_bias")
	if !ok {
		return nil
	}
	out := map[string]float64{}
	for key, raw := range fields {
		if x, ok := f.problems.laxFloat(raw, f.loc("logit_bias")+"."+key); ok {
			out[key] = x
		}
	}
	return out
}

// Defaults are sampling parameters of requests that leave them out; nil is
// vLLM's own.
type Defaults struct {
	Temperature, TopP, MinP, RepetitionPenalty *float64
	TopK, MaxTokens                            *int64
}

// sampling checks the parameters in vLLM's order and makes the engine's
// request of them. room is what the prompt leaves of the context.
func (s *Server) sampling(p params, room, defaultTokens int64) (Request, *refusal) {
	d := p.defaults
	or := func(p, q *float64, r float64) float64 { return deref(p, deref(q, r)) }
	temperature, topP, minP := or(p.temperature, d.Temperature, 1), or(p.topP, d.TopP, 1), or(p.minP, d.MinP, 0)
	repetition, presence, frequency := or(p.repetition, d.RepetitionPenalty, 1), deref(p.presence, 0), deref(p.frequency, 0)
	topK := deref(p.topK, deref(d.TopK, 0))
	maxTokens := min(deref(p.maxTokens, defaultTokens), room)
	if temperature > 0 && temperature < coldest {
		temperature = coldest
	}
	switch {
	case p.n < 1:
		return Request{}, invalid("", fmt.Sprintf("n must be at least 1, got %d.", p.n))
	case p.n > int64(s.o.MaxN):
		return Request{}, invalid("", fmt.Sprintf("n must be at most %d, got %d. To increase this limit, set the VLLM_MAX_N_SEQUENCES environment variable.", s.o.MaxN, p.n))
	case !(presence >= -2 && presence <= 2):
		return Request{}, invalid("", fmt.Sprintf("presence_penalty must be in [-2, 2], got %s.", pyFloat(presence)))
	case !(frequency >= -2 && frequency <= 2):
		return Request{}, invalid("", fmt.Sprintf("frequency_penalty must be in [-2, 2], got %s.", pyFloat(frequency)))
	case math.IsNaN(repetition) || math.IsInf(repetition, 0):
		return Request{}, invalid("", fmt.Sprintf("repetition_penalty must be a finite number, got %s.", pyFloat(repetition)))
	case repetition <= 0:
		return Request{}, invalid("", fmt.Sprintf("repetition_penalty must be greater than zero, got %s.", pyFloat(repetition)))
	case math.IsNaN(temperature) || math.IsInf(temperature, 0):
		return Request{}, invalidf("temperature", pyFloat(temperature), "temperature must be a finite number, got %s.", pyFloat(temperature))
	case temperature < 0:
		return Request{}, invalidf("temperature", pyFloat(temperature), "temperature must be non-negative, got %s.", pyFloat(temperature))
	case temperature > 2:
		return Request{}, invalidf("temperature", pyFloat(temperature), "temperature must be in [0, 2], got %s.", pyFloat(temperature))
	case !(topP > 0 && topP <= 1):
		return Request{}, invalidf("top_p", pyFloat(topP), "top_p must be in (0, 1], got %s.", pyFloat(topP))
	case topK < -1:
		return Request{}, invalid("", fmt.Sprintf("top_k must be 0 (disable), or at least 1, got %d.", topK))
	case !(minP >= 0 && minP <= 1):
		return Request{}, invalid("", fmt.Sprintf("min_p must be in [0, 1], got %s.", pyFloat(minP)))
	case maxTokens < 1:
		return Request{}, invalidf("max_tokens", maxTokens, "max_tokens must be at least 1, got %d.", maxTokens)
	case p.minTokens < 0:
		return Request{}, invalid("", fmt.Sprintf("min_tokens must be greater than or equal to 0, got %d.", p.minTokens))
	case p.minTokens > maxTokens:
		return Request{}, invalid("", fmt.Sprintf("min_tokens must be less than or equal to max_tokens=%d, got %d.", maxTokens, p.minTokens))
	case slices.Contains(p.stop, ""):
		return Request{}, invalid("", "stop cannot contain an empty string.")
	case temperature == 0 && p.n > 1:
		return Request{}, invalid("", fmt.Sprintf("n must be 1 when using greedy sampling, got %d.", p.n))
	}
	bias, bad := biasIDs(p.bias)
	if bad != nil {
		return Request{}, bad
	}
	if temperature == 0 {
		topP, topK, minP = 1, 0, 0
	}
	if topK == 0 || topK >= int64(s.model.Vocab) {
		topK = -1
	}
	seed := deref(p.seed, -1)
	if seed == -1 { // -1 is none, as in vLLM
		seed = s.o.Seed()
	}
	return Request{
		N: int(p.n), Seed: seed, Temperature: temperature, TopP: topP, TopK: int(topK), MinP: minP,
		MaxTokens: int(maxTokens), MinTokens: int(p.minTokens), IgnoreEOS: p.ignoreEOS,
		RepetitionPenalty: repetition, PresencePenalty: presence, FrequencyPenalty: frequency,
		LogitBias: bias, Salt: p.salt, Fresh: p.promptLogprobs != nil,
	}, nil
}

// biasIDs reads the keys of a logit_bias. Values are cut to [-100, 100].
func biasIDs(bias map[string]float64) (map[int32]float32, *refusal) {
	var out map[int32]float32
	var words []string
	for key, x := range bias {
		key = strings.TrimSpace(key)
		if !isInt(strings.TrimPrefix(key, "+")) {
			words = append(words, pyString(key))
			continue
		}
		if out == nil {
			out = map[int32]float32{}
		}
		if math.IsNaN(x) {
			return nil, invalidf("logit_bias", "nan", "logit_bias of token %s is not a number.", key)
		}
		out[int32(small(clip(strings.TrimPrefix(key, "+"))))] = float32(max(-100, min(100, x)))
	}
	if len(words) > 0 {
		slices.Sort(words)
		shown := "[" + strings.Join(words, ", ") + "]"
		return nil, invalidf("logit_bias", shown, "logit_bias contains key(s) that cannot be converted to integer token IDs: %s", shown)
	}
	return out, nil
}

// late are the checks that vLLM's engine makes, after a stream has begun. They
// complete r.
func (s *Server) late(p params, r *Request) *refusal {
	vocab := s.model.Vocab
	for _, c := range []struct {
		name string
		k    *int64
		what string
	}{{"logprobs", p.logprobs, "sample"}, {"prompt_logprobs", p.promptLogprobs, "prompt"}} {
		k := deref(c.k, 0)
		if k == -1 {
			k = int64(vocab)
		}
		if k > maxLogprobs {
			return invalidf(c.name, k, "Requested %s logprobs of %d, which is greater than max allowed: %d", c.what, k, maxLogprobs)
		}
	}
	var outside []int64
	for id := range r.LogitBias {
		if id < 0 || int(id) >= vocab {
			outside = append(outside, int64(id))
		}
	}
	if slices.Sort(outside); len(outside) > 0 {
		return invalidf("logit_bias", pyInts(outside), "token_id(s) %s in logit_bias contain out-of-vocab token ids. Vocabulary size: %d", pyInts(outside), vocab)
	}
	var bad []int64
	if r.StopTokenIDs, bad = within(p.stopIDs, vocab); len(bad) > 0 {
		return invalidf("stop_token_ids", pyInts(bad), "token_id(s) %s in stop_token_ids contain out-of-vocab token ids. Vocabulary size: %d", pyInts(bad), vocab)
	}
	if p.allowed != nil {
		if len(p.allowed) == 0 {
			return invalidf("allowed_token_ids", "[]", "allowed_token_ids is not None and empty!")
		}
		if r.Allowed, bad = within(p.allowed, vocab); len(bad) > 0 {
			return invalidf("allowed_token_ids", pyInts(bad), "allowed_token_ids contains out-of-vocab token id!")
		}
	}
	r.Top = topOf(p.logprobs, vocab)
	return nil
}

// topOf is the number of tokens that a log-probs field asks for; -1 is all.
func topOf(k *int64, vocab int) int {
	if deref(k, 0) == -1 {
		return vocab
	}
	return small(deref(k, 0))
}

// within splits ids into those of the vocabulary, each once, and the others.
func within(ids []int64, vocab int) (in []int32, out []int64) {
	seen := make(map[int64]bool, len(ids))
	for _, id := range ids {
		switch {
		case id < 0 || id >= int64(vocab):
			out = append(out, id)
		case !seen[id]:
			seen[id] = true
			in = append(in, int32(id))
		}
	}
	return in, out
}

func (s *Server) checkModel(name *string) *refusal {
	if name == nil || slices.Contains(s.o.Models, *name) {
		return nil
	}
	return &refusal{status: http.StatusNotFound, typ: "NotFoundError", param: "model",
		message: fmt.Sprintf("The model `%s` does not exist. Valid aliases: %s.", *name, strings.Join(s.o.Models, ", "))}
}
