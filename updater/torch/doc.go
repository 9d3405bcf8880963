// Package torch is the updater on libtorch: the GRPO training step for Qwen2,
// Qwen3 and Llama models, on a CPU or a CUDA device.
//
// It is behind the build tag torch; without it the package is empty, and
// nothing else in justrl needs cgo. scripts/with-torch sets up the build.
//
// # Layers
//
// Operations come from gotch's libtch (one C call each, handles freed by hand)
// and, where it lacks one, from our own C++ (layers.cpp, attention.cpp,
// head.cpp, justrl.cpp). [scope] is all of our own above
// them: an arena that frees what was made in it and keeps the first error, so
// that the network reads as straight code. The network is Go and one function
// for all architectures: what differs between them is data (model.Spec).
// gotch's package ts is not used: it is slower, leaks, and its errors end the
// process.
//
// One goroutine, locked to its thread, runs all of it: gotch's last error and
// torch's grad mode belong to a thread.
//
// # A step
//
// Axis letters: T tokens of a pack, N tokens of it whose log-prob is wanted,
// E hidden size, H query heads, K key heads, D head size, V vocabulary.
//
// Sequences are packed end to end, without padding; positions start again and
// attention ends with each, so that no sequence can see, or be changed by, its
// neighbour. Logits exist for a chunk of the N tokens at a time, never as [N,V].
//
// Forward and backward passes are both written out, in Go, layer by layer:
// layer.go is all of it, and no graph is recorded. So it is in the open what a
// layer keeps for its backward pass ([activations]), and recomputation (keep
// the inputs, run a layer again before its backward) is a choice of one line
// instead of a second path. Projections of one input are one product, a
// [block], and its gradient is added to the block's by the product itself.
//
// The head gives a chunk's scores and takes their gradient while the chunk's
// logits are still there: they are computed once.
//
// # One definition of the objective
//
// The objective is not written in torch. Log-probs of a pack go to the host,
// updater/grpo (float64, the definition) returns the loss, the metrics and
// dLoss/dlogp for each token, and that goes back as the gradient with which
// the backward pass starts, a chunk of rows at a time. The price is two copies
// of N floats a pack and a wait for the device at each chunk, microseconds
// beside a pass of seconds; what it buys is
// that there is no second implementation that could disagree. Denominators are
// known from the whole mini-batch before its first pack, so gradients of packs
// add up to the mini-batch's own, however it was packed.
//
// What baselines add to it takes this way too. With an entropy bonus the
// objective returns dLoss/dentropy beside dLoss/dlogp, and the backward pass
// over the logits takes both, a chunk of rows at a time (one chunk more of
// memory; none without). With a KL to a reference model the trainer holds a
// second, frozen network: its weights once, in the arithmetic's type (3 GB for
// 1.5B parameters in bfloat16, beside some 24 GB of the policy's training),
// no masters, no gradients, no moments. It scores a mini-batch before the
// mini-batch's own passes, in the same packs, so that its activations, a
// layer's at a time, are never there together with those of training.
//
// # Precision
//
// float32, or bfloat16 for weights and activations. Log-probs, loss, norms,
// gradient sums, AdamW's moments and the weights it moves (the masters) are
// float32 always. But in bfloat16 what is added to a matrix's float32 sum is a
// bfloat16 product: each pack's part of the gradient (each chunk's, of the head's
// matrix) is rounded to bfloat16 before it is added, so that the gradient depends
// on the packing by as much as that rounding. The rotary table is made in float32
// as transformers makes it.
//
// # Deliberately absent
//
// Dropout, loss scaling (so no float16 arithmetic), LoRA.
//
// # Generation
//
// [Decoder] is the model of updater/engine: the same network with a paged cache,
// on the CPU, in float32. Its arithmetic is decode.cpp, each
// row by operations in an order that does not depend on the other rows; what
// it computes is held to the trainer's and to transformers'.
package torch
