// Package tokenizer turns text into token ids and back exactly as Hugging
// Face does, for the byte-level BPE tokenizers of the models that JustRL
// trains, and renders their chat templates.
//
// [Load] reads a model folder: tokenizer.json (vocabulary, merges, added
// tokens and the pipeline), tokenizer_config.json and chat_template.jinja
// (special tokens and the template), generation_config.json and config.json
// (end-of-sequence ids). Text passes through
//
//	added tokens → NFC → normalised added tokens → pre-tokenizer → byte-level BPE
//
// with hand-written scanners in place of the three regular expressions that
// such files use: Qwen2's, Llama-3's, and GPT-2's (alone, or after SmolLM2's
// split of single digits). What a file asks for and this package does not do
// is an error of Load that names it: an approximate tokenizer would train on
// sequences that the server never saw.
//
// Chat templates run on the engine gonja, with string methods and filters of
// our own, as Python and Jinja define them: the engine's are near them, and a
// prompt must be equal. One difference is left, which no published template
// that we know meets: the engine indexes a string, s[0], by bytes.
//
// Deliberately absent: adding special tokens around a text (the chat template
// writes them), offsets, truncation and padding, BPE dropout, and
// transformers' clean_up_tokenization_spaces, which makes decoding lossy.
package tokenizer
