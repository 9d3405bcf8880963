package monitor

// moment says after what a signature is judged.
type moment int

const (
	afterStep moment = iota
	afterValidation
	afterRescoring // in a step or outside of one
)

// finding is what a judgement comes to.
type finding struct {
	ill      bool
	message  string // with the numbers
	evidence map[string]float64
}

// signature is one entry of docs/monitoring.md.
type signature struct {
	name   string // its key in the configuration
	when   moment
	sparse bool // judged so seldom that one judgement without it rearms it
	judge  judge
	look   string // at what, to find the cause
}

// judge looks at what is known after a step. It is not ok where that is too
// little, or nothing new. told says that the signature was told and has not been
// away since; the finding then need not say more than whether it is still there.
type judge func(h *history, step int, threshold float64, told bool) (f finding, ok bool)

func signatures() []signature {
	of := func(pick func(*history) *column, what string) judge { return rise(pick, what) }
	return []signature{
		{name: "reward_drop", judge: rewardDrop,
			look: "the rollouts of the last steps, and whether data, verifier or servers have changed"},
		{name: "entropy_collapse", judge: entropyCollapse,
			look: "update.clip_high, optimizer.lr and the verifier: a policy that has stopped to explore learns no more"},
		{name: "heldout_fall", when: afterValidation, sparse: true, judge: heldoutFall,
			look: "eval/ for what held-out answers do now, and go back to the checkpoint of the best validation"},
		{name: "no_reasoning", judge: of(func(h *history) *column { return h.noReasoning }, "share of boxed answers without reasoning"),
			look: "the rollouts of the last steps: is the answer to be had without the work?"},
		{name: "boxed_only", judge: of(func(h *history) *column { return h.boxedOnly }, "share of boxed answers that are nothing but a box"),
			look: "the rollouts of the last steps: is the answer to be had without the work?"},
		{name: "many_boxes", judge: of(func(h *history) *column { return h.manyBoxes }, "share of boxed answers with four boxes or more"),
			look: "the rollouts of the last steps: does the verifier take one of many guesses?"},
		{name: "one_answer", judge: of(func(h *history) *column { return h.oneAnswer }, "share of one answer, whatever the problem,"),
			look: "the answers of the last steps: which one is it, and what does the verifier accept it for?"},
		{name: "copied", judge: of(func(h *history) *column { return h.copied }, "share of long answers that are another of their group, word for word,"),
			look: "the servers: are seeds, temperature and versions what the run asks for?"},
		{name: "looping", judge: of(func(h *history) *column { return h.looping }, "share of answers whose end repeats itself"),
			look: "the rollouts of the last steps, and whether answers still end"},
		{name: "disagreement", judge: of(func(h *history) *column { return h.disagreement }, "share of verdicts that strict box and rule grader do not share"),
			look: "the answers that one accepts alone: what form have they come to have?"},
		{name: "length_explosion", judge: lengthExplosion,
			look: "the longest rollouts, looping and truncated answers"},
		{name: "length_collapse", judge: lengthCollapse,
			look: "the shortest rollouts: what do they leave out?"},
		{name: "truncated", judge: of(func(h *history) *column { return h.truncated }, "share of answers cut off at sampling.max_tokens"),
			look: "sampling.max_tokens, and whether answers still come to an end"},
		{name: "equal_groups", judge: equalGroups,
			look: "data that are too hard for the policy, or a verifier that accepts nothing: such groups teach nothing"},
		{name: "mismatch_drift", judge: mismatchDrift,
			look: "the servers' dtype, quantization and log: rollouts come from another policy than the trained one (mismatch/… in steps.jsonl)"},
		{name: "gradient_spike", judge: gradientSpike,
			look: "the step's rollouts, and optimizer.grad_clip and lr"},
		{name: "verifier_errors", judge: of(func(h *history) *column { return h.unscored }, "share of rollouts that the verifier fails on"),
			look: "the verifier's errors on stderr, reward.timeout and reward.workers"},
		{name: "verifier_drift", when: afterRescoring, sparse: true, judge: verifierDrift,
			look: "monitor/answers.jsonl and the verifier: its version, its program or its server"},
	}
}
