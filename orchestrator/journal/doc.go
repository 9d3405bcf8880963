// Package journal keeps a run directory: what ran, what happened step by step,
// and from where it can go on.
//
//	config.yaml              the resolved configuration, every default written out
//	run.json                 id, build, host, seed, servers ([Info])
//	steps.jsonl              one line a finished step ([Step])
//	validation.jsonl         one line a measurement on held-out problems ([Validation])
//	events.jsonl             what the run noticed about itself: failure signatures ([Event])
//	paused                   while it is there the run waits at its next step boundary; the reason
//	monitor/answers.jsonl    answers that are scored again and again ([Fixed])
//	spent.jsonl              one line for work that no record holds, or no longer ([Spent])
//	eval/step-000050/SET.jsonl   the answers to a held-out set after so many steps ([Answer])
//	rollouts/step-000012.parquet   the scored rollouts of a step ([Rollout]), what `justrl update --rollouts` reads;
//	                         older builds wrote step-000012.jsonl, which is read as well
//	rollouts/step-000012.drawn.json    what was drawn for it, with sampling.dynamic ([Drawn])
//	rollouts/step-000013.partial.jsonl   those of the step that is being sampled, as they finish
//	rollouts/step-000013.refused.jsonl   those that the mismatch gate refused to train on; .refused.parquet
//	                         where the step was trained on before
//	versions.json            the highest weights version ever handed out
//	checkpoints/step-000100/ weights in the Hugging Face layout, trainer/ with the
//	                         optimizer's state, progress.json ([Progress]), COMPLETE with each file's SHA-256
//	checkpoints/step-000100.damaged   one that was not as it was written, until the run is past it
//	checkpoints/best.json    the best by validation ([Best])
//	resumes.jsonl            one line a resume ([Resume])
//	tb/                      the figures for TensorBoard (orchestrator/tensorboard)
//	summary.json             written when the run is finished ([Summary])
//	report.html              what came of it, for a browser (orchestrator/report)
//
// A directory belongs to one process at a time (an flock on run.lock); the
// functions that take its path only read, and need no lock. Files are replaced
// by rename; the .jsonl files of steps, validation and events are appended and synced
// line by line, partial rollouts appended line by line, and a torn last line,
// which only a crash can leave, is cut off when the file is opened. A line of a
// partial file has a CRC-32C: one that is wrong is left out ([Partial.Damage]), and
// its rollout is sampled again. A page of a parquet file has one too.
//
// A parquet file is written and read a row group of about 2^20 tokens at a time,
// zstd-compressed, with the columns of a Rollout's JSON keys:
//
//	group, weights_version                                  int64
//	sample                                                  int32
//	problem_id, text, finish_reason, answer, server         string
//	prompt_token_ids, token_ids                             list<int32>
//	logprobs                                                list<float32>, null where there are none
//	reward, penalty                                         double
//	correct                                                 boolean
package journal
