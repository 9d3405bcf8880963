package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// What a run does at the onset of a failure signature.
const (
	ActionOff   = "off"   // it is not looked for
	ActionWarn  = "warn"  // it is said and recorded
	ActionPause = "pause" // … and the run is saved and waits
	ActionStop  = "stop"  // … and the run is saved and ends with exit code 1
)

// Actions are the values of monitor.SIGNATURE.action.
func Actions() []string { return []string{ActionOff, ActionWarn, ActionPause, ActionStop} }

// Monitor says which failure signatures a run looks for, and when it has found
// one. Their definitions are in docs/monitoring.md; a threshold's unit is in the
// line about its signature.
type Monitor struct {
	Window int `yaml:"window" about:"steps whose mean is judged; before there are as many nothing is"`
	Rearm  int `yaml:"rearm" about:"steps without a signature before its next onset is told"`

	CompareEvery  int `yaml:"compare_every" about:"steps between comparisons of strict-box's verdicts with the rule grader's, where reward.verifier is one and validation has the other; 0 = none"`
	CompareSample int `yaml:"compare_sample" about:"rollouts a comparison"`
	RescoreEvery  int `yaml:"rescore_every" about:"steps between scorings of the kept answers; a resumed run begins with one; 0 = none"`
	RescoreSample int `yaml:"rescore_sample" about:"rollouts of the first step that are kept for it"`

	RewardDrop      Signature `yaml:"reward_drop" about:"threshold: reward under its best so far"`
	EntropyCollapse Signature `yaml:"entropy_collapse" about:"threshold: factor by which entropy falls while no more answers become right"`
	HeldoutFall     Signature `yaml:"heldout_fall" about:"threshold: held-out accuracy under its best, mean over sets, while the reward rises"`
	NoReasoning     Signature `yaml:"no_reasoning" about:"threshold: rise of the share of boxed answers with hardly a word before the box"`
	BoxedOnly       Signature `yaml:"boxed_only" about:"threshold: rise of the share of boxed answers that are nothing but a box"`
	ManyBoxes       Signature `yaml:"many_boxes" about:"threshold: rise of the share of boxed answers with four boxes or more"`
	OneAnswer       Signature `yaml:"one_answer" about:"threshold: rise of the share of one answer, whatever the problem"`
	Copied          Signature `yaml:"copied" about:"threshold: rise of the share of long answers that are another of their group, word for word"`
	Looping         Signature `yaml:"looping" about:"threshold: rise of the share of answers whose end repeats itself"`
	Disagreement    Signature `yaml:"disagreement" about:"threshold: rise of the share of compared verdicts that differ"`
	LengthExplosion Signature `yaml:"length_explosion" about:"threshold: factor by which answers grow while no more become right"`
	LengthCollapse  Signature `yaml:"length_collapse" about:"threshold: factor by which answers shrink while no more become right"`
	Truncated       Signature `yaml:"truncated" about:"threshold: rise of the share of answers cut off at sampling.max_tokens"`
	EqualGroups     Signature `yaml:"equal_groups" about:"threshold: share of groups with one verdict, while fewer than 0.9 of the answers are right"`
	MismatchDrift   Signature `yaml:"mismatch_drift" about:"threshold: factor by which the k3 of server against trainer grows, where what is below 2e-5 nats counts as that"`
	GradientSpike   Signature `yaml:"gradient_spike" about:"threshold: an update's gradient norm as a multiple of the largest before"`
	VerifierErrors  Signature `yaml:"verifier_errors" about:"threshold: rise of the share of rollouts that the verifier fails on or takes too long over"`
	VerifierDrift   Signature `yaml:"verifier_drift" about:"threshold: kept answers that score otherwise than at first"`
}

// Signature is one failure signature's settings.
type Signature struct {
	Action    string  `yaml:"action" about:"off | warn | pause | stop"`
	Threshold float64 `yaml:"threshold" about:"more than 0"`
}

// Signatures returns the signatures by their key.
func (m Monitor) Signatures() map[string]Signature {
	all := map[string]Signature{}
	v := reflect.ValueOf(m)
	for i := range v.NumField() {
		if s, ok := v.Field(i).Interface().(Signature); ok {
			all[v.Type().Field(i).Tag.Get("yaml")] = s
		}
	}
	return all
}

// Validate reports every fault at once, one a line; nil if there is none.
func (m Monitor) Validate() error {
	var errs []error
	must := func(ok bool, key, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("monitor.%s: %s", key, fmt.Sprintf(format, args...)))
		}
	}
	must(m.Window >= 2, "window", "must be at least 2, is %d", m.Window)
	must(m.Rearm >= 1, "rearm", "must be at least 1, is %d", m.Rearm)
	must(m.CompareEvery >= 0, "compare_every", "must be 0 (none) or more, is %d", m.CompareEvery)
	must(m.CompareSample >= 1, "compare_sample", "must be at least 1, is %d", m.CompareSample)
	must(m.RescoreEvery >= 0, "rescore_every", "must be 0 (none) or more, is %d", m.RescoreEvery)
	must(m.RescoreSample >= 1, "rescore_sample", "must be at least 1, is %d", m.RescoreSample)
	v := reflect.ValueOf(m)
	for i := range v.NumField() { // in the order of the fields
		key := v.Type().Field(i).Tag.Get("yaml")
		if s, ok := v.Field(i).Interface().(Signature); ok {
			must(slices.Contains(Actions(), s.Action), key+".action", "must be one of %s, is %q", strings.Join(Actions(), ", "), s.Action)
			least := leastThreshold(key)
			must(s.Threshold > least, key+".threshold", "must be more than %g, is %g", least, s.Threshold) // NaN is not
		}
	}
	return errors.Join(errs...)
}

// leastThreshold is what a threshold must be above: what is no change for a factor.
func leastThreshold(key string) float64 {
	switch key {
	case "entropy_collapse", "length_explosion", "length_collapse", "mismatch_drift", "gradient_spike":
		return 1
	}
	return 0
}

// defaultMonitor is right for a run of thousands of steps of 256 × 8 as for the
// demonstration of 30 of 32 × 8: what sampling noise allows is part of the
// definitions, not of the thresholds. It stops only where the reward has become
// another one.
func defaultMonitor() Monitor {
	warn := func(threshold float64) Signature { return Signature{Action: ActionWarn, Threshold: threshold} }
	return Monitor{
		Window: 10, Rearm: 20,
		CompareEvery: 10, CompareSample: 64, RescoreEvery: 10, RescoreSample: 64,
		RewardDrop: warn(0.3), EntropyCollapse: warn(2), HeldoutFall: warn(0.05),
		NoReasoning: warn(0.3), BoxedOnly: warn(0.2), ManyBoxes: warn(0.2), OneAnswer: warn(0.2), Copied: warn(0.2), Looping: warn(0.2),
		Disagreement: warn(0.1), LengthExplosion: warn(2), LengthCollapse: warn(2), Truncated: warn(0.2),
		EqualGroups: warn(0.9), MismatchDrift: warn(5), GradientSpike: warn(5), VerifierErrors: warn(0.005),
		VerifierDrift: Signature{Action: ActionStop, Threshold: 1},
	}
}
