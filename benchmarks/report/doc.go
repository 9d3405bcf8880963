// Package report shows what came of evaluations: one HTML page, and the same
// results as a table for a terminal, as Markdown, as CSV and as JSON.
//
// It reads the folders that justrl eval, sweep and grade write. Every
// grading_results.json in one, with the verdicts.jsonl beside it, gives a [Cell]
// for each set; eval.json, where there is one, says which model and which prompt
// template were measured. Nothing is graded anew, and no server is asked.
//
// The page needs nothing else: no network, no script, no font. Wrong answers are
// part of it while they are few. Beyond 4 MB they go, a few hundred to a file, into a folder beside the page, which links to every problem: a browser
// lays out 40 MB in one page in many seconds, and 1.5 MB at once. Of a long answer
// its end comes first, then, folded up, its beginning and what is before its end;
// the whole is in the generations file, whose line is named. So all that is
// written is bounded by some 8 kB a wrong answer, however long they are.
//
// Whatever comes from the folders is escaped: answers can hold HTML. The pages'
// Content-Security-Policy allows their own style sheet and nothing else.
//
// Deliberately absent: judgements. The published rows beside one's own were
// measured by others, with other software, and are printed as they were.
package report
