package config

import (
	"strings"
	"testing"
)

// valid is a setting of each verifier that needs one.
var needed = map[string]string{VerifierCommand: "reward.command=[cat]", VerifierHTTP: "reward.url=http://x"}

func rewardWith(t *testing.T, sets ...string) Config {
	t.Helper()
	c, err := Preset("tiny-cpu")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sets {
		if s == "" {
			continue
		}
		if err := c.Set(s); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// Every verifier takes its own parameters, and refuses each of the others'.
func TestParametersBelongToTheirVerifier(t *testing.T) {
	settings := map[string]string{
		"workers": "2", "python": "/usr/bin/python3", "ignore_case": "true", "ignore_space": "true", "ignore_punctuation": "true",
		"abs_tolerance": "0.1", "rel_tolerance": "0.1", "threshold": "0.5", "pattern": "x", "command": "[cat]", "url": "http://x",
	}
	if all := (Reward{}).parameters(); len(all) != len(settings) {
		t.Fatalf("%d parameters, %d are tested", len(all), len(settings))
	}
	for _, v := range Verifiers() {
		for _, p := range (Reward{}).parameters() {
			c := rewardWith(t, "reward.verifier="+v, needed[v], "reward."+p.key+"="+settings[p.key])
			err := c.Validate()
			own := false
			for _, w := range p.whose {
				own = own || w == v
			}
			if own && err != nil {
				t.Errorf("%s with %s: %v", v, p.key, err)
			}
			want := "reward." + p.key + ": is for the verifier " + strings.Join(p.whose, ", ") + ", and reward.verifier is " + v
			if !own && (err == nil || err.Error() != want) {
				t.Errorf("%s with %s: %v, want %s", v, p.key, err, want)
			}
		}
	}
}

func TestRewardFaults(t *testing.T) {
	for _, tc := range []struct {
		sets []string
		want string
	}{
		{[]string{"reward.verifier=llm", "reward.pattern=x"}, `reward.verifier: must be one of strict-box, rule, choice, exact, numeric, f1, regex, command, http; is "llm"`},
		{[]string{"reward.timeout=0s"}, "reward.timeout: must be more than 0s, is 0s"},
		{[]string{"reward.max_unscored=1"}, "reward.max_unscored: must be in [0, 1), is 1"},
		{[]string{"reward.max_unscored=.nan"}, "reward.max_unscored: must be in [0, 1), is NaN"},
		{[]string{"reward.verifier=rule", "reward.workers=-1"}, "reward.workers: must be 0 (the number of CPUs) or more, is -1"},
		{[]string{"reward.verifier=numeric", "reward.abs_tolerance=-1"}, "reward.abs_tolerance: must be 0 (none) or more, is -1"},
		{[]string{"reward.verifier=numeric", "reward.rel_tolerance=.inf"}, "reward.rel_tolerance: must be 0 (none) or more, is +Inf"},
		{[]string{"reward.verifier=f1", "reward.threshold=1.5"}, "reward.threshold: must be in (0, 1], or 0 for 1, is 1.5"},
		{[]string{"reward.verifier=regex", `reward.pattern="a{truth}("`}, "reward.pattern: error parsing regexp: missing closing ): `ax(`"},
		{[]string{"reward.verifier=command"}, "reward.command: the verifier command needs a program, like [python3, verifier.py]"},
		{[]string{"reward.verifier=http"}, "reward.url: the verifier http needs one, like http://127.0.0.1:9000/score"},
	} {
		if err := rewardWith(t, tc.sets...).Validate(); err == nil || err.Error() != tc.want {
			t.Errorf("%v: %v, want %s", tc.sets, err, tc.want)
		}
	}
}

// Held-out answers are graded as evaluations grade them, unless training's
// verifier is another one than the paper's.
func TestValidationReward(t *testing.T) {
	for _, tc := range []struct{ reward, validation, want string }{
		{VerifierStrictBox, VerifierRule, VerifierRule},
		{VerifierStrictBox, "", VerifierStrictBox},
		{VerifierRule, "", VerifierRule},
		{VerifierChoice, VerifierRule, VerifierChoice},
	} {
		var c Config
		c.Reward.Verifier, c.Reward.Timeout, c.Validation.Verifier = tc.reward, 7, tc.validation
		if got := c.ValidationReward(); got.Verifier != tc.want || got.Timeout != 7 {
			t.Errorf("%q and %q: %+v, want %q", tc.reward, tc.validation, got, tc.want)
		}
	}
	for _, tc := range []struct{ preset, want string }{
		{"justrl-deepseek-1.5b", VerifierRule}, {"tiny-cpu", VerifierStrictBox},
	} {
		c, err := Preset(tc.preset)
		if err != nil || c.ValidationReward().Verifier != tc.want {
			t.Errorf("%s: %q (%v), want %q", tc.preset, c.ValidationReward().Verifier, err, tc.want)
		}
	}
}
