package reward

import "testing"

func TestRegex(t *testing.T) {
	verdicts(t, Regex{}, []pairCase{
		{"the truth is a pattern", `\boxed{colour}`, "colou?r", true, "colour"},
		{"of the whole answer", `\boxed{colours}`, "colou?r", false, "colours"},
		{"alternatives are whole too", `\boxed{ab}`, "a|b", false, "ab"},
		{"with a flag", `answer: YES`, "(?i)yes", true, "YES"},
		{"not of the text around", `colour`, "colou?r", false, ""},
	})
	verdicts(t, Regex{Pattern: `(?i)result = {truth}\s*$`}, []pairCase{
		{"the truth fills a pattern", "so Result = 4.5 \n", "4.5", true, "Result = 4.5 \n"},
		{"as text, not as a pattern", "result = 4x5", "4.5", false, ""},
		{"anchored as it is written", "result = 4.5 or 6", "4.5", false, ""},
	})
	verdicts(t, Regex{Pattern: `<answer>({truth})</answer>`}, []pairCase{
		{"a group is the answer", "<answer>a+b</answer>", "a+b", true, "a+b"},
	})
	failsOn(t, Regex{}, `\boxed{(}`, "(", "is no pattern")
	failsOn(t, Regex{Pattern: "("}, `(`, "4", "the pattern with the ground truth")
}
