// Package generations reads and writes files of sampled answers, in the
// authors' own format, so that what they published can be graded as it is.
//
// A file has a name that says how it was sampled ([Name]),
//
//	{task}_t{temperature}_p{top_p}_n{samples}-MNT{max_tokens}.jsonl
//
// and an object a line ([benchmarks.Generation]): example_id, prompt, answer,
// seed, response; ours add finish_reason and tokens. A problem's answers may be
// anywhere in it: the authors' files have all problems for one seed, then all
// for the next.
//
// What the authors' reader (Python's json module) makes of a line, this one
// does, or refuses with the file's name and the line's number:
//
//   - NaN and Infinity are numbers, and of a key that is there twice the last
//     value counts. Keys that are not ours are passed over, their syntax checked.
//   - example_id may be a number or text that Python's int takes; a fraction, a
//     negative number and true, which it takes too, are refused.
//   - A lone surrogate (\ud800) stays apart from every other character: it is
//     three bytes that are not UTF-8, as WTF-8 has them.
//   - response and answer must be text; of one problem all answers must be the
//     same (the authors' grader takes the last of them for all).
//   - Bytes that are not UTF-8 and control characters within text are refused.
//   - Empty lines are passed over; a byte order mark is too.
//
// A last line that is no JSON is not an error like others: a writer that was
// killed leaves it. It comes as a [TornError] after all whole lines; [Append]
// cuts it off.
//
// Memory is bounded by the longest line and, for an [Index], some 50 bytes a line.
package generations
