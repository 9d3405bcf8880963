package openaitest_test

import "strings"

const (
	completionFields = `{"model":"tiny","prompt":[1,20,21,22],"max_tokens":3,"temperature":1,"seed":7`
	chatFields       = `{"model":"tiny","messages":[{"role":"user","content":"1 + 1?"}],"max_tokens":3,"temperature":1,"seed":7`
)

type poster func(name, path, body string) exchange

// forced makes token 53 all that is sampled: "S" in the model of the
// recordings, "2" in the fake. stopped stops at either.
const (
	forced  = `,"logit_bias":{"53":100},"max_tokens":20,"ignore_eos":true`
	stopped = forced + `,"stop":["never","2","S"]`
)

// limits are what completions can be asked besides, and what they refuse.
func limits(post poster) []exchange {
	ask := func(name, fields string) exchange {
		return post(name, "/v1/completions", completionFields+fields+`}`)
	}
	return []exchange{
		ask("log-probs of one more token", `,"logprobs":1,"return_token_ids":true,"ignore_eos":true`),
		ask("log-probs of five more tokens", `,"logprobs":5,"return_token_ids":true,"ignore_eos":true`),
		ask("tokens as ids", `,"logprobs":1,"return_tokens_as_token_ids":true,"ignore_eos":true`),
		ask("scores of two tokens a position", `,"prompt_logprobs":2,"max_tokens":1`),
		ask("echo", `,"echo":true`),
		ask("echo with ids", `,"echo":true,"return_token_ids":true`),
		ask("echo with log-probs", `,"echo":true,"logprobs":1,"return_token_ids":true`),
		ask("echo alone", `,"echo":true,"logprobs":0,"max_tokens":0`),
		ask("echo of text", `,"echo":true,"logprobs":0,"prompt":"1 + 1"`),
		ask("two prompts", `,"prompt":[[1,20],[1,20,21]],"n":2,"logprobs":0,"return_token_ids":true,"ignore_eos":true`),
		ask("two texts", `,"prompt":["1 + 1","2"],"ignore_eos":true`),
		ask("stop string", stopped+`,"return_token_ids":true,"logprobs":0`),
		ask("stop string in the text", stopped+`,"include_stop_str_in_output":true`),
		ask("stop string over several tokens", forced+`,"stop":["22","SS"],"min_tokens":4,"return_token_ids":true`),
		ask("too many stop strings", `,"stop":["a","b","c","d","e"]`),
		ask("stop strings of numbers", `,"stop":[1,2]`),
		ask("stop of a number", `,"stop":5`),
		ask("prompt of an object", `,"prompt":{}`),
		ask("prompt of mixed kinds", `,"prompt":[1,"a"]`),
		ask("prompt of flags", `,"prompt":[true]`),
		ask("prompt of fractions", `,"prompt":[1.5]`),
		ask("stop by an id", `,"logit_bias":{"53":100},"stop_token_ids":[53],"return_token_ids":true`),
		ask("stop by an id, in the text", `,"logit_bias":{"53":100},"stop_token_ids":[53],"include_stop_str_in_output":true`),
		ask("a stop string alone", `,"stop":"never","ignore_eos":true`),
		ask("end of sequence", `,"logit_bias":{"2":100},"return_token_ids":true,"logprobs":0`),
		ask("end of sequence shown", `,"logit_bias":{"2":100},"skip_special_tokens":false`),
		ask("end of sequence ignored", `,"logit_bias":{"2":100},"ignore_eos":true,"return_token_ids":true`),
		ask("end of sequence too soon", `,"logit_bias":{"2":100},"min_tokens":3,"return_token_ids":true`),
		ask("allowed tokens", `,"allowed_token_ids":[20,21],"return_token_ids":true`),
		ask("penalties", `,"presence_penalty":1,"frequency_penalty":-1,"repetition_penalty":1.5,"ignore_eos":true`),
		ask("nulls", `,"n":1,"temperature":null,"top_p":null,"top_k":null,"min_p":null,"seed":null,"stop":null,"stop_token_ids":null,"logprobs":null,"echo":null,"stream":null,"logit_bias":null,"allowed_token_ids":null,"max_tokens":null,"return_token_ids":null,"ignore_eos":false`),
		ask("no such field", `,"wings":true,"ignore_eos":true`),
		ask("request id", `,"request_id":"mine","ignore_eos":true`),

		ask("huge n", `,"n":100000`),
		ask("n of null", `,"n":null`),
		ask("negative n", `,"n":-1`),
		ask("negative tokens", `,"max_tokens":-5`),
		ask("negative least tokens", `,"min_tokens":-1`),
		ask("NaN temperature", `,"temperature":NaN`),
		ask("infinite temperature", `,"temperature":Infinity`),
		ask("temperature as text", `,"temperature":"x"`),
		ask("temperature in a list", `,"temperature":[1]`),
		ask("temperature as the text of a number", `,"temperature":"1","ignore_eos":true`),
		ask("NaN top_p", `,"top_p":NaN`),
		ask("NaN min_p", `,"min_p":NaN`),
		ask("presence penalty over 2", `,"presence_penalty":2.5`),
		ask("frequency penalty below -2", `,"frequency_penalty":-3`),
		ask("repetition penalty of 0", `,"repetition_penalty":0`),
		ask("infinite repetition penalty", `,"repetition_penalty":Infinity`),
		ask("huge seed", `,"seed":9223372036854775808`),
		ask("seed as text", `,"seed":"x"`),
		ask("n in an object", `,"n":{}`),
		ask("n beyond 64 bits", `,"n":123456789012345678901234567890`),
		ask("tokens beyond a float", `,"max_tokens":1e400`),
		ask("tokens as a whole float", `,"max_tokens":3.0,"ignore_eos":true`),
		ask("empty stop string", `,"stop":""`),
		ask("empty stop string in a list", `,"stop":["a",""]`),
		ask("negative log-probs", `,"logprobs":-2`),
		ask("log-probs as text", `,"logprobs":"x"`),
		ask("negative prompt log-probs", `,"prompt_logprobs":-2`),
		ask("too many prompt log-probs", `,"prompt_logprobs":50`),
		ask("no allowed tokens", `,"allowed_token_ids":[]`),
		ask("allowed tokens outside the vocabulary", `,"allowed_token_ids":[5,9999]`),
		ask("biases outside the vocabulary", `,"logit_bias":{"9999":1}`),
		ask("bias of a word", `,"logit_bias":{"x":1}`),
		ask("bias as text", `,"logit_bias":{"5":"x"}`),
		ask("ignoring the end of sequence in words", `,"ignore_eos":"maybe"`),
		ask("no flag", `,"ignore_eos":null`),
		ask("stream options without a stream", `,"stream_options":{"include_usage":true}`),
		ask("negative token in the prompt", `,"prompt":[1,-1]`),
		ask("an empty prompt of two", `,"prompt":[[1],[]]`),
		ask("an empty text of two", `,"prompt":["a",""]`),
		ask("a prompt over the context of two", `,"prompt":[[1],`+strings.Replace(`[`+strings.Repeat("5,", 600)+`]`, ",]", "]", 1)+`]`),
		ask("text far over the context", `,"prompt":"`+strings.Repeat("12 ", 10000)+`"`),
		ask("long salt", `,"cache_salt":"`+strings.Repeat("s", 1025)+`"`),
		ask("model that is a number", `,"model":5`),
		ask("stop tokens as text", `,"stop_token_ids":"x"`),
		ask("a stop token as text", `,"stop_token_ids":[1,"x"]`),
		ask("n as text", `,"n":"2","ignore_eos":true`),
		ask("n as the text of a float", `,"n":"1.0","ignore_eos":true`),
		ask("n as the text of a fraction", `,"n":"1.5"`),
		ask("n with an underscore", `,"n":"1_0"`),
		ask("n as a flag", `,"n":true,"ignore_eos":true`),
		ask("n as a float", `,"n":2.0,"ignore_eos":true`),
		ask("n of NaN", `,"n":NaN`),
		ask("tokens between spaces", `,"max_tokens":" 3 ","ignore_eos":true`),
		ask("stop tokens as texts", `,"stop_token_ids":["5"],"ignore_eos":true`),
		ask("stop tokens of null", `,"stop_token_ids":[null]`),
		ask("ignoring the end of sequence with yes", `,"ignore_eos":"yes"`),
		ask("ignoring the end of sequence with 1", `,"ignore_eos":1`),
		ask("ignoring the end of sequence with 2", `,"ignore_eos":2`),
		ask("ignoring the end of sequence with a list", `,"ignore_eos":[]`),
		ask("temperature as a flag", `,"temperature":true,"ignore_eos":true`),
		ask("temperature as the text of NaN", `,"temperature":"nan"`),
		ask("tiny temperature", `,"temperature":1e-7,"n":2,"ignore_eos":true`),
		ask("seed as a float", `,"seed":1e3,"ignore_eos":true`),
		ask("negative seed", `,"seed":-5,"ignore_eos":true`),
		ask("seed beyond 64 bits", `,"seed":-99999999999999999999`),
		ask("prompt of a text and a number", `,"prompt":["a",1]`),
		ask("prompt of ids and texts", `,"prompt":[[1,"x"]]`),
		ask("prompt of lists and a number", `,"prompt":[[1],2]`),
		ask("prompt of lists of lists", `,"prompt":[[[1]]]`),
		ask("prompt of a list of nothing", `,"prompt":[[]]`),
		ask("prompt of null", `,"prompt":null`),
		ask("prompt of a number", `,"prompt":7`),
		ask("prompt with a huge token", `,"prompt":[1,99999999999]`),
		ask("stop of null in a list", `,"stop":[null]`),
		ask("biases in a list", `,"logit_bias":[]`),
		ask("biases of null", `,"logit_bias":{"5":null}`),
		ask("NaN bias as infinity", `,"logit_bias":{"53":Infinity},"ignore_eos":true`),
		ask("bias with spaces", `,"logit_bias":{" 53 ":100},"ignore_eos":true`),
		ask("negative bias id", `,"logit_bias":{"-1":1}`),
		ask("stream options of a number", `,"stream":true,"stream_options":5`),
		ask("stream as yes", `,"stream":"yes","ignore_eos":true`),
		ask("two faults", `,"n":"x","temperature":"y","ignore_eos":"z"`),
		ask("a fault with a quote", `,"n":"it's"`),
		ask("a fault with both quotes", `,"n":"it's \"so\""`),
		ask("a fault with a line break", `,"n":"a\nb\tc\\d"`),
		ask("a long fault", `,"n":"`+strings.Repeat("ab", 300)+`"`),
		ask("faults beyond ten", `,"stop_token_ids":[`+strings.TrimSuffix(strings.Repeat(`"x",`, 14), ",")+`]`),
		ask("salt with a slash", `,"cache_salt":"a/b"`),
		ask("salt of a number", `,"cache_salt":5`),
		ask("log-probs of all", `,"logprobs":-1`),
		ask("log-probs of a fraction", `,"logprobs":1.5`),
		ask("log-probs as a flag", `,"logprobs":true,"ignore_eos":true`),
		ask("trailing comma", `,`),
		ask("single quotes", `,'n':1`),
		ask("no colon", `,"n" 1`),
		ask("no value", `,"n":`),
		ask("no comma", `,"n":1 "seed":2`),
		ask("leading zero", `,"n":01`),
		ask("a lonely minus", `,"n":-`),
		ask("a number with a point", `,"n":1.`),
		ask("a wrong escape", `,"user":"\x"`),
		ask("a wrong unicode escape", `,"user":"\u12G4"`),
		ask("a control character", ",\"user\":\"a\nb\""),
		ask("beyond ASCII before a fault", `,"user":"äöü","n":x`),
		ask("half a surrogate pair", `,"prompt":"a\ud800b","ignore_eos":true`),
		post("more after the object", "/v1/completions", `{"prompt":"a"} {}`),
		post("an open text", "/v1/completions", `{"prompt":"a`),
		post("an open escape", "/v1/completions", `{"prompt":"a\`),
		post("spaces", "/v1/completions", `   `),
		post("a word", "/v1/completions", `hello`),
		post("nested too deep", "/v1/completions", `{"prompt":`+strings.Repeat("[", 5000)+strings.Repeat("]", 5000)+`}`),
		post("JSON that is a text", "/v1/completions", `"x"`),
		post("JSON that is null", "/v1/completions", `null`),
		post("no body", "/v1/completions", ``),
	}
}

// streams are answers in events.
func streams(post poster) []exchange {
	ask := func(name, fields string) exchange {
		return post(name, "/v1/completions", completionFields+`,"stream":true,"ignore_eos":true`+fields+`}`)
	}
	chat := func(name, fields string) exchange {
		return post(name, "/v1/chat/completions", chatFields+`,"stream":true,"ignore_eos":true`+fields+`}`)
	}
	const usage = `,"stream_options":{"include_usage":true}`
	return []exchange{
		ask("stream", ``),
		ask("stream with usage", usage),
		ask("stream without usage", `,"stream_options":{"include_usage":false}`),
		ask("stream with usage all the time", `,"stream_options":{"include_usage":true,"continuous_usage_stats":true}`),
		ask("stream with ids and log-probs", `,"logprobs":1,"return_token_ids":true`+usage),
		ask("stream with an echo", `,"echo":true,"prompt":"1 + 1"`),
		ask("stream with an echo, ids and log-probs", `,"echo":true,"logprobs":0,"return_token_ids":true`),
		ask("stream of an echo alone", `,"echo":true,"logprobs":0,"max_tokens":0`),
		ask("stream stopped by a string", stopped),
		ask("stream stopped by a token", `,"logit_bias":{"5":100},"stop_token_ids":[5],"return_token_ids":true`),
		ask("stream of prompt log-probs", `,"prompt_logprobs":1`),
		ask("stream, no samples", `,"n":0`),
		ask("stream, a token outside the vocabulary", `,"prompt":[9999]`),
		ask("stream, a stop token outside the vocabulary", `,"stop_token_ids":[9999]`),
		ask("stream, too many log-probs", `,"logprobs":50`),
		ask("stream, over the context", `,"prompt":"`+strings.Repeat("12 ", 600)+`"`),
		chat("chat stream", ``),
		chat("chat stream with usage", usage),
		chat("chat stream with ids and log-probs", `,"logit_bias":{"53":100},"logprobs":true,"top_logprobs":2,"return_token_ids":true`+usage),
		chat("chat stream with usage all the time", `,"stream_options":{"include_usage":true,"continuous_usage_stats":true}`),
		chat("chat stream stopped by a string", stopped),
		chat("chat stream, over the context", `,"messages":[{"role":"user","content":"`+strings.Repeat("12 ", 600)+`"}]`),
	}
}

func moreChats(post poster) []exchange {
	ask := func(name, fields string) exchange {
		return post(name, "/v1/chat/completions", chatFields+fields+`}`)
	}
	own := func(name, fields string) exchange { e := ask(name, fields); e.Own = true; return e }
	return []exchange{
		ask("chat with log-probs", `,"logprobs":true,"ignore_eos":true`),
		ask("chat with more log-probs", `,"logprobs":true,"top_logprobs":2,"return_token_ids":true,"ignore_eos":true,"n":2`),
		ask("chat with tokens as ids", `,"logprobs":true,"top_logprobs":1,"return_tokens_as_token_ids":true,"ignore_eos":true`),
		ask("chat with prompt log-probs", `,"prompt_logprobs":0,"ignore_eos":true,"return_token_ids":true`),
		ask("chat with ids", `,"return_token_ids":true,"ignore_eos":true`),
		ask("chat with completion tokens", `,"max_completion_tokens":2,"ignore_eos":true`),
		ask("chat to the end of the context", `,"max_tokens":null,"ignore_eos":true`),
		ask("chat stopped by a string", stopped),
		ask("chat with an end of sequence", `,"logit_bias":{"2":100}`),
		ask("chat in parts", `,"messages":[{"role":"system","content":"a"},{"role":"user","content":[{"type":"text","text":"1 +"},{"type":"text","text":"1"}]}],"ignore_eos":true`),
		ask("chat goes on", `,"messages":[{"role":"user","content":"1"},{"role":"assistant","content":"2 and"}],"add_generation_prompt":false,"continue_final_message":true,"ignore_eos":true`),
		ask("chat goes on and begins", `,"add_generation_prompt":true,"continue_final_message":true`),
		ask("chat without a generation prompt", `,"add_generation_prompt":false,"ignore_eos":true`),
		ask("chat with template settings", `,"chat_template_kwargs":{"thinking":false},"ignore_eos":true`),
		ask("chat with an echo", `,"messages":[{"role":"user","content":"1"},{"role":"assistant","content":"2 and"}],"add_generation_prompt":false,"continue_final_message":true,"echo":true,"ignore_eos":true`),

		ask("chat, top log-probs without log-probs", `,"top_logprobs":2`),
		ask("chat, too many log-probs", `,"logprobs":true,"top_logprobs":50`),
		ask("chat, negative top log-probs", `,"logprobs":true,"top_logprobs":-2`),
		ask("chat, negative tokens", `,"max_tokens":-1`),
		ask("chat, no tokens", `,"max_tokens":0`),
		ask("chat, huge n", `,"n":100000`),
		ask("chat, NaN", `,"temperature":NaN`),
		ask("chat, empty salt", `,"cache_salt":""`),
		own("chat, content of a number", `,"messages":[{"role":"user","content":5}]`),
		own("chat, a message without a role", `,"messages":[{"content":"a"}]`),
		ask("chat, a message without content", `,"messages":[{"role":"user"}],"ignore_eos":true`),
		ask("chat, content of null", `,"messages":[{"role":"assistant","content":null}],"ignore_eos":true`),
		own("chat, a message that is a text", `,"messages":["a"]`),
		ask("chat, another role", `,"messages":[{"role":"critic","content":"a"}],"ignore_eos":true`),
		ask("chat, an image", `,"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}]}]`),
		own("chat, an unknown part", `,"messages":[{"role":"user","content":[{"type":"smell","smell":"sweet"}]}]`),
		ask("chat, messages of null", `,"messages":null`),
		ask("chat, messages in an object", `,"messages":{}`),
		ask("chat, n of null", `,"n":null,"ignore_eos":true`),
		ask("chat, log-probs as a number", `,"logprobs":2`),
		post("chat, no messages", "/v1/chat/completions", `{"model":"tiny","max_tokens":3}`),
	}
}

// tokens are the tokenizer's routes.
func tokens(post poster) []exchange {
	return []exchange{
		post("tokenize messages", "/tokenize", `{"model":"tiny","messages":[{"role":"user","content":"1 + 1?"}]}`),
		post("tokenize messages without a generation prompt", "/tokenize", `{"messages":[{"role":"user","content":"1 + 1?"}],"add_generation_prompt":false}`),
		post("tokenize with texts", "/tokenize", `{"model":"tiny","prompt":"12 + 1","return_token_strs":true}`),
		post("tokenize nothing", "/tokenize", `{"model":"tiny","prompt":""}`),
		post("tokenize no text", "/tokenize", `{"model":"tiny"}`),
		post("tokenize a number", "/tokenize", `{"model":"tiny","prompt":5}`),
		post("tokenize over the context", "/tokenize", `{"prompt":"`+strings.Repeat("12 ", 600)+`"}`),
		post("detokenize special tokens", "/detokenize", `{"model":"tiny","tokens":[1,20,21,2]}`),
		post("detokenize nothing", "/detokenize", `{"model":"tiny","tokens":[]}`),
		post("detokenize outside the vocabulary", "/detokenize", `{"model":"tiny","tokens":[9999]}`),
		post("detokenize a negative token", "/detokenize", `{"model":"tiny","tokens":[-1]}`),
		post("detokenize a text", "/detokenize", `{"model":"tiny","tokens":"x"}`),
		post("detokenize for another model", "/detokenize", `{"model":"big","tokens":[5]}`),
		post("detokenize no tokens", "/detokenize", `{"model":"tiny"}`),
	}
}

// generates is vLLM's own route of ids in and out.
func generates(post poster, noKey func(exchange) exchange) []exchange {
	ask := func(name, fields, params string) exchange {
		return post(name, "/inference/v1/generate", `{"model":"tiny","token_ids":[1,20,21,22]`+fields+`,"sampling_params":{"max_tokens":3,"temperature":1,"seed":7,"ignore_eos":true`+params+`}}`)
	}
	return []exchange{
		ask("generate", ``, ``),
		ask("generate two samples with log-probs", `,"return_token_ids":true`, `,"n":2,"logprobs":0`),
		ask("generate with more log-probs and scores", ``, `,"logprobs":2,"prompt_logprobs":0`),
		ask("generate in a stream", `,"stream":true`, `,"logprobs":0`),
		ask("generate in a stream with usage", `,"stream":true,"stream_options":{"include_usage":true}`, ``),
		ask("generate outside the vocabulary", `,"token_ids":[9999]`, ``),
		ask("generate no samples", ``, `,"n":0`),
		ask("generate over the context", `,"token_ids":`+strings.Replace(`[`+strings.Repeat("5,", 600)+`]`, ",]", "]", 1), ``),
		ask("generate from a text", `,"token_ids":"x"`, ``),
		ask("generate with a negative id", `,"token_ids":[-1]`, ``),
		ask("generate with wrong parameters", ``, `,"temperature":"x"`),
		ask("generate too hot", ``, `,"temperature":3`),
		post("generate without parameters", "/inference/v1/generate", `{"token_ids":[1,20]}`),
		post("generate without ids", "/inference/v1/generate", `{"sampling_params":{}}`),
		ask("generate after nothing", `,"token_ids":[]`, ``),
		noKey(ask("generate without the key", ``, ``)),
	}
}

func moreDevelopment(get func(name, path string) exchange, post poster) []exchange {
	return []exchange{
		get("world", "/get_world_size"),
		post("checksums", "/weight_checker", `{"action":"checksum"}`),
		post("checksums against others", "/weight_checker", `{"action":"compare","baseline":{"a":"b"}}`),
		post("checksums against nothing", "/weight_checker", `{"action":"compare"}`),
		post("another check", "/weight_checker", `{"action":"guess"}`),
		post("no check", "/weight_checker", `{}`),
		get("not asleep", "/is_sleeping"),
		post("sleep", "/sleep?level=1", ``),
		get("asleep", "/is_sleeping"),
		post("wake up", "/wake_up", ``),
		get("awake", "/is_sleeping"),
		post("reset the prefix cache of running requests", "/reset_prefix_cache?reset_running_requests=true", ``),
		post("pause with a word for a flag", "/pause?clear_cache=maybe", ``),
		post("abort requests that are not there", "/abort_requests", `{"request_ids":["cmpl-none-0"]}`),
		post("abort with a list", "/abort_requests", `[]`),
		post("abort with no JSON", "/abort_requests", `{`),
		post("version of a number", "/update_weight_version", `{"new_version":5}`),
	}
}
