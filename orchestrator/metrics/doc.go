// Package metrics tells Prometheus about a run that goes on: docs/metrics.md lists
// every name. Names are Prometheus' own convention, with units in them and
// counters in _total; the figures of the newest step are also there under their
// names in steps.jsonl, as justrl_step_metric{name="…"}.
//
// Counters count the whole run: a process that resumes it begins where the
// records that it kept end. What only happens while a process lives (rollouts as
// they come, verifier errors, requests to servers) counts from its start.
package metrics
