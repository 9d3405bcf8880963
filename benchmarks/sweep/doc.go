// Package sweep measures a matrix: models or checkpoints × servers × sets ×
// sampling × prompt templates × judges, written down in one YAML file.
//
// A [Cell] is a set under a template, answered by a model with one kind of
// sampling and graded with one judge. The cells that differ in the set or the
// template alone are an [Evaluation], which has a folder of its own below the
// sweep's, laid out as justrl eval leaves it, so that whatever reads an
// evaluation reads a part of a sweep:
//
//	sweep.json                 what each evaluation is, and how fast servers were ([State])
//	sweep.lock                 flocked while a process works on the sweep
//	cells/NAME/eval.json       and all else of an evaluation (benchmarks/evaluate)
//	results.json, report.html  of the cells that are complete
//
// A spec may grow: what is new in it is added to what there is. What a folder
// has answers of cannot change: [State.Join] names every difference.
//
// The judges of one sampling share its answers: they are sampled once.
//
// A server has weights of its own, served under a name, or is told to load those
// of a checkpoint. Evaluations of its own weights come first, then those of one
// checkpoint after another, each alone on the server. When the last is done the
// server's own weights are loaded again.
//
// Deliberately absent: starting servers (but for the one in the program), and
// trying settings that are not in the file.
package sweep
