package localserver

import (
	"fmt"
	"math"
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
