// Package metrics turns verdicts on generations into figures.
//
// The first seven of [Results] are those of the authors' evals/grade.py, to the
// last digit where every problem has as many answers as the first. Where not,
// the authors' program cuts its list of scores into pieces of that length, so
// that a problem's answers count for another's; here each problem's are its own,
// and Results says how many the fewest and the most were. A problem without any
// answer does not count (there it counts as 0 for distinct_4gram, or ends the program).
//
// The unit is the problem: every figure but the counts is a mean over problems
// of something that one problem's answers say, and every interval comes from
// drawing problems anew, with all their answers, because answers to one problem
// are alike. An interval says what another draw of such problems would give;
// for a set that is given as it is, it is too wide.
//
// Deliberately absent: anything that needs a model or a server, and any choice
// of which answers count. An answer that a verifier failed on counts as not
// correct, and is counted apart.
package metrics
