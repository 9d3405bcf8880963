// Package evaluate samples answers to sets of problems from servers that
// people already have, and grades them while it does.
//
// A [Cell] is a set under one prompt template: each problem is asked n times,
// with the seeds of [Seeds], as one user message through the server's own chat
// template (/v1/chat/completions, streamed). The answers of a cell go to one
// [Store], each as soon as it is complete; what a store already has is not
// asked for again, so that an evaluation that was killed goes on where it was.
//
// A server's answer to a seed need not be the same twice (batches change
// rounding), so a resumed evaluation has the same questions, not always the same answers.
//
// What is asked for is max_tokens, as the paper has it. Where the server's
// context has less room the answer is cut there, and [Findings] say so.
package evaluate
