// Package monitor watches a run step by step and names failure signatures while
// they happen: the reward that drops, entropy that collapses, answers without
// reasoning, a verifier that scores otherwise than it did.
//
// A [Monitor] is told each record of a step and of a validation, in order, and
// returns the signatures that begin there. It knows nothing but these records, so
// that a resumed run has the state of an undisturbed one once it has been told
// what steps.jsonl and validation.jsonl hold, and so that anybody can find again
// what the run found. [Describe] makes the part of a record that is about the
// texts of answers.
//
// A signature is one entry of the table in signatures.go; its definition, with
// its formula, is in docs/monitoring.md, its threshold and what the run does about
// it in the configuration (monitor). A threshold is what a change must exceed
// beside what sampling noise allows, which is measured from the run itself: the
// same thresholds serve 256 rows a step and 8. Where a healthy run does the same
// (answers grow, entropy falls) the signature is that no more answers become right
// meanwhile. Where the recipe of a run has changed, the records since are all that
// there is ([Monitor.Changed]). It is told at its onset, once, and again only after it has been away
// for monitor.rearm steps.
//
// Deliberately absent: signatures of servers, which package bridge proves after
// each load, and gates before the first update of a step (mismatch): the monitor
// looks at what has happened.
package monitor
