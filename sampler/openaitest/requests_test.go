package openaitest_test

import (
	"fmt"
	"slices"
	"strings"
)

// exchange is a request and the answer of a real vLLM: a line of testdata/vllm.jsonl.
type exchange struct {
	Name   string `json:"name"`
	Method string `json:"method"`
	Path   string `json:"path"`
	Body   string `json:"body,omitempty"`   // as it is sent; MODELDIR is the folder of the served model
	NoKey  bool   `json:"no_key,omitempty"` // sent without the API key
	Own    bool   `json:"own,omitempty"`    // an error that the fake words in its own way
	Status int    `json:"status"`
	Type   string `json:"type"` // the answer's media type
	Reply  string `json:"reply,omitempty"`
}

// requests are the ones that a real vLLM and the fake must answer alike, in
// the order in which they are sent: some change the server for the next.
func requests() []exchange {
	get := func(name, path string) exchange { return exchange{Name: name, Method: "GET", Path: path} }
	post := func(name, path, body string) exchange {
		return exchange{Name: name, Method: "POST", Path: path, Body: body}
	}
	noKey := func(e exchange) exchange { e.NoKey = true; return e }
	return slices.Concat([]exchange{
		get("models", "/v1/models"),
		noKey(get("models without the key", "/v1/models")),
		get("version", "/version"),
		get("health", "/health"),
		get("metrics", "/metrics"),
		get("ping", "/ping"),
		get("load", "/load"),
		post("tokenize", "/tokenize", `{"model":"tiny","prompt":"12","add_special_tokens":false}`),
		post("tokenize for another model", "/tokenize", `{"model":"big","prompt":"12"}`),
		post("detokenize", "/detokenize", `{"model":"tiny","tokens":[19,20]}`),
		get("unknown route", "/v1/nothing"),
		get("wrong method", "/v1/completions"),
		post("wrong method of a list", "/v1/models", `{}`),
	}, completions(post, noKey), limits(post), streams(post), chats(post), moreChats(post), tokens(post), generates(post, noKey), development(get, post), moreDevelopment(get, post))
}

// completions are bodies around one that is right: each changes the fields it names.
func completions(post func(name, path, body string) exchange, noKey func(exchange) exchange) []exchange {
	ask := func(name, fields string) exchange {
		return post(name, "/v1/completions", `{"model":"tiny","prompt":[1,20,21,22],"max_tokens":3,"temperature":1,"seed":7`+fields+`}`)
	}
	all := make([]int, 512)
	for i := range all {
		all[i] = i
	}
	list := func(ids []int) string { return strings.ReplaceAll(fmt.Sprint(ids), " ", ",") }
	ids := func(n int) string { return list(slices.Repeat([]int{5}, n)) }
	return []exchange{
		ask("plain", ``),
		ask("two samples with ids and log-probs", `,"n":2,"logprobs":0,"return_token_ids":true,"ignore_eos":true`),
		ask("every sampling parameter", `,"n":2,"top_p":1,"top_k":-1,"min_p":0,"min_tokens":0,"stop_token_ids":[],"ignore_eos":true,"repetition_penalty":1,"presence_penalty":0,"frequency_penalty":0,"logprobs":0,"prompt_logprobs":null,"return_token_ids":true,"skip_special_tokens":true,"stream":false`),
		ask("scoring", `,"max_tokens":1,"prompt_logprobs":0,"return_token_ids":true,"cache_salt":"s"`),
		ask("greedy", `,"temperature":0,"return_token_ids":true,"ignore_eos":true`),
		ask("stopped by a token", `,"stop_token_ids":`+list(all)+`,"ignore_eos":true,"logprobs":0,"return_token_ids":true`),
		ask("stopped by the context", `,"prompt":`+ids(509)+`,"max_tokens":9,"ignore_eos":true,"return_token_ids":true`),
		ask("text prompt", `,"prompt":"1 + 1"`),
		noKey(ask("without the key", ``)),

		ask("prompt over the context", `,"prompt":`+ids(600)),
		ask("prompt a token over the context", `,"prompt":`+ids(513)),
		ask("text over the context", `,"prompt":"`+strings.Repeat("12 ", 600)+`"`),
		ask("more tokens than the context", `,"max_tokens":600`),
		ask("prompt as long as the context", `,"prompt":`+ids(512)),
		ask("another model", `,"model":"big"`),
		ask("prompt outside the vocabulary", `,"prompt":[1,9999]`),
		ask("stop token outside the vocabulary", `,"stop_token_ids":[2,9999,12345]`),
		ask("empty prompt", `,"prompt":[]`),
		ask("empty text", `,"prompt":""`),
		ask("greedy with samples", `,"temperature":0,"n":2`),
		ask("no samples", `,"n":0`),
		ask("negative temperature", `,"temperature":-1`),
		ask("temperature over 2", `,"temperature":2.5`),
		ask("top_p of 0", `,"top_p":0`),
		ask("top_p over 1", `,"top_p":1.5`),
		ask("top_k below -1", `,"top_k":-2`),
		ask("min_p over 1", `,"min_p":2`),
		ask("no tokens", `,"max_tokens":0`),
		ask("more tokens at least than at most", `,"min_tokens":9`),
		ask("too many log-probs", `,"logprobs":50`),
		ask("salt of null", `,"cache_salt":null`),
		ask("empty salt", `,"cache_salt":""`),
		ask("number as text", `,"max_tokens":"x"`),
		ask("fraction as number", `,"n":1.5`),
		post("cut JSON", "/v1/completions", `{"model":"tiny","prompt":[1,2`),
		post("JSON that is no object", "/v1/completions", `[1]`),
		post("no prompt", "/v1/completions", `{"model":"tiny","max_tokens":3}`),
	}
}

func chats(post func(name, path, body string) exchange) []exchange {
	ask := func(name, fields string) exchange {
		return post(name, "/v1/chat/completions", `{"model":"tiny","messages":[{"role":"user","content":"1 + 1?"}],"max_tokens":3,"temperature":1,"seed":7`+fields+`}`)
	}
	return []exchange{
		ask("chat", ``),
		ask("chat as openai.Client asks", `,"n":2,"top_p":1,"stop":[]`),
		ask("chat, greedy", `,"temperature":0`),
		ask("chat, greedy with samples", `,"temperature":0,"n":2`),
		ask("chat, another model", `,"model":"big"`),
		ask("chat, no samples", `,"n":0`),
		ask("chat, negative temperature", `,"temperature":-1`),
		ask("chat in a text", `,"messages":"hello"`),
		ask("chat over the context", `,"messages":[{"role":"user","content":"`+strings.Repeat("12 ", 600)+`"}]`),
		ask("chat with more tokens than the context", `,"max_tokens":600`),
		ask("chat without messages", `,"messages":[]`),
		post("chat, cut JSON", "/v1/chat/completions", `{"model":"tiny","messages":[`),
	}
}

// development are the routes of vLLM's dev mode. A reload that fails half way
// is not among them: it could kill the real server.
func development(get func(name, path string) exchange, post func(name, path, body string) exchange) []exchange {
	const rpc = "/collective_rpc"
	return []exchange{
		get("not paused", "/is_paused"),
		post("pause", "/pause", ``),
		get("paused", "/is_paused"),
		post("resume", "/resume", ``),
		post("resume again", "/resume", ``),
		post("pause and wait", "/pause?mode=wait", ``),
		post("resume after waiting", "/resume", ``),
		post("pause and keep", "/pause?mode=keep&clear_cache=false", ``),
		post("resume after keeping", "/resume", ``),
		post("pause in no mode", "/pause?mode=soon", ``),
		get("pause by GET", "/pause"),
		post("abort", "/abort_requests", `{}`),
		post("reset the prefix cache", "/reset_prefix_cache", ``),
		get("weights' version", "/weight_info"),
		post("new version", "/update_weight_version", `{"new_version":"step-7"}`),
		get("weights' new version", "/weight_info"),
		post("old version", "/update_weight_version", `{"new_version":"default"}`),
		post("no version", "/update_weight_version", `{}`),
		post("no method", rpc, `{}`),
		post("unknown method", rpc, `{"method":"fly"}`),
		post("reload", rpc, `{"method":"reload_weights"}`),
		post("reload from a folder", rpc, `{"method":"reload_weights","kwargs":{"weights_path":"MODELDIR"}}`),
		post("reload from nowhere", rpc, `{"method":"reload_weights","kwargs":{"weights_path":"/no/such/folder"}}`),
		post("reload after that", rpc, `{"method":"reload_weights","kwargs":{"weights_path":"MODELDIR"}}`),
		post("a call of the wrong shape", rpc, `{"method":`),
	}
}
