// Package report turns a run directory into one HTML file that needs nothing
// else: no network, no script, no font. It says what came of the run in words,
// draws its curves, and shows the same held-out problems answered before and
// after training.
//
// A run that is going on, was interrupted or failed gives a report as well, of
// what is there. Nothing in the directory is changed but report.html, and no
// lock is taken.
//
// Whatever comes from the run is escaped: answers can hold HTML. The page's
// Content-Security-Policy allows its own style sheet and nothing else.
//
// [Follow] gives the same figures of a run that goes on in parts, as they come, for
// its live page (package dashboard).
//
// Deliberately absent: comparisons of runs, and judgements. The page shows what
// was measured.
package report
