// Package localserver is the HTTP half of the embedded OpenAI-compatible
// server: vLLM 0.32's dialect, route by route, over an [Engine] that is handed
// in. It knows nothing of models: what is sampled, scored and loaded is the
// engine's.
//
// The dialect is held to the real server by the recordings of
// sampler/openaitest, whose fake server is this package over a bigram policy:
// there is one implementation of it in the program.
//
// What it answers: /health, /ping, /version, /load, /metrics, /v1/models,
// /v1/completions, /v1/chat/completions (both also as event streams),
// /tokenize, /detokenize, /inference/v1/generate, and in [Options].DevMode the
// calls that pause generation, reload weights and empty the prefix cache.
//
// Deliberately absent: tools, structured outputs, beam search, images, LoRA,
// and the weight-transfer routes. A request that asks for one of them is
// refused with 400, not answered as if it had not asked.
package localserver
