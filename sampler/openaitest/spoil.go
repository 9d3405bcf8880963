package openaitest

import (
	"github.com/goccy/go-json"
)

// spoil makes a right reply of /v1/completions wrong; another body stays as it is.
func spoil(body []byte, f Fault, vocab, maxLen int) []byte {
	var reply map[string]any
	if json.Unmarshal(body, &reply) != nil {
		return body
	}
	choices, _ := reply["choices"].([]any)
	if len(choices) == 0 {
		return body
	}
	i := min(f.Sample, len(choices)-1)
	c, _ := choices[i].(map[string]any)
	ids, _ := c["token_ids"].([]any)
	logprobs, _ := c["logprobs"].(map[string]any)
	given := func() []any { given, _ := logprobs["token_logprobs"].([]any); return given }
	switch f.Kind {
	case FaultAbort:
		c["finish_reason"] = "abort"
		keep := len(ids) / 2
		c["token_ids"] = ids[:keep]
		if logprobs != nil {
			logprobs["token_logprobs"] = given()[:keep]
		}
	case FaultDrop:
		reply["choices"] = append(choices[:i], choices[i+1:]...)
	case FaultTwice:
		next, _ := choices[(i+1)%len(choices)].(map[string]any)
		c["index"] = next["index"]
	case FaultShort:
		if logprobs != nil {
			logprobs["token_logprobs"] = given()[1:]
		}
	case FaultVocab:
		ids[0] = vocab
	case FaultEmpty:
		c["token_ids"] = []any{}
	case FaultNoIDs:
		c["token_ids"] = nil
	case FaultEcho:
		prompt, _ := c["prompt_token_ids"].([]any)
		first, _ := prompt[0].(float64)
		prompt[0] = first + 1
	case FaultFinish:
		c["finish_reason"] = "content_filter"
	case FaultLong:
		logs := given()
		for range 1 + maxLen {
			ids, logs = append(ids, 5), append(logs, -1)
		}
		c["token_ids"] = ids
		if logprobs != nil {
			logprobs["token_logprobs"] = logs
		}
	}
	spoilt, _ := json.Marshal(reply) // it was JSON
	return spoilt
}
