// Package journal keeps a run directory: what ran, what happened step by step,
// and from where it can go on.
//
//	config.yaml              the resolved configuration, every default written out
//	run.json                 id, build, host, seed, servers ([Info])
//	steps.jsonl              one line a finished step ([Step])
//	validation.jsonl         one line a measurement on held-out problems ([Validation])
//	spent.jsonl              one line for work that no record holds, or no longer ([Spent])
//	eval/step-000050/SET.jsonl   the answers to a held-out set after so many steps ([Answer])
//	rollouts/step-000012.jsonl   the scored rollouts of a step ([Rollout]), what `justrl update --rollouts` reads
//	rollouts/step-000012.drawn.json    what was drawn for it, with sampling.dynamic ([Drawn])
//	rollouts/step-000013.partial.jsonl   those of the step that is being sampled, as they finish
//	rollouts/step-000013.refused.jsonl   those that the mismatch gate refused to train on
//	versions.json            the highest weights version ever handed out
//	checkpoints/step-000100/ weights in the Hugging Face layout, trainer/ with the
//	                         optimizer's state, progress.json ([Progress]), COMPLETE
//	summary.json             written when the run is finished ([Summary])
//	report.html              what came of it, for a browser (orchestrator/report)
//
// A directory belongs to one process at a time (an flock on run.lock); the
// functions that take its path only read, and need no lock. Files are replaced
// by rename; the .jsonl files of steps and validation are appended and synced
// line by line, partial rollouts appended line by line, and a torn last line,
// which only a crash can leave, is cut off when the file is opened.
package journal
