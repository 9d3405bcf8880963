package journal

import (
	"cmp"
	"encoding/json"
	"math"
	"time"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/updater"
)

// Info says what ran; it is written once and never changed by a resume.
type Info struct {
	ID      string    `json:"id"` // random, part of every weights version that a server shows
	Version string    `json:"version"`
	Go      string    `json:"go"`
	Host    string    `json:"host"`
	CPUs    int       `json:"cpus"`
	Started time.Time `json:"started"`
	Seed    int64     `json:"seed"`
	Model   string    `json:"model"`
	Servers []string  `json:"servers"`
}

// Step is the record of one finished training step. Keys follow verl's names
// where verl has one. Everything that a clock decides is under timing_s/ or
// perf/, so that two runs can be compared without them.
type Step struct {
	Step int `json:"step"`
	// WeightsVersion is that of the rollouts; of a step that was sampled in parts, by a run that was resumed, the newest.
	WeightsVersion int64 `json:"weights_version"`
	// WeightsSHA256 is that of the weights after the step, over their tensors in name order.
	WeightsSHA256 string `json:"weights_sha256"`

	ScoreMean float64 `json:"critic/score/mean"` // reward, over rollouts
	ScoreMax  float64 `json:"critic/score/max"`
	ScoreMin  float64 `json:"critic/score/min"`
	Correct   float64 `json:"reward/correct"`      // share of rollouts that the verifier accepted
	EqualRows float64 `json:"reward/equal_groups"` // share of groups whose rewards are all the same: they teach nothing
	*Overlong         // nil where no answer's length was punished
	*Drawn            // nil without sampling.dynamic
	*Unscored         // nil where everything was scored
	*Texts            // nil in runs of versions that did not look
	*Compared         // nil in steps without a comparison
	*Rescored         // nil in steps without it

	ResponseMean float64 `json:"response_length/mean"` // tokens
	ResponseMax  int     `json:"response_length/max"`
	ResponseMin  int     `json:"response_length/min"`
	ResponseClip float64 `json:"response_length/clip_ratio"` // share cut off at max_tokens
	PromptMean   float64 `json:"prompt_length/mean"`

	// The plain means over the step's updates, as verl reports them; tokens and packs are sums.
	updater.UpdateMetrics
	updater.Mismatch
	Canary bridge.Report `json:"canary"`

	Epoch   int   `json:"data/epoch"`
	Dropped int64 `json:"data/dropped"` // rows left out since the start because the prompt was too long

	Updates []updater.UpdateMetrics `json:"updates"`

	// Cost is what the step took, what was sampled in earlier processes included.
	Cost

	// Servers says who sampled what of the step, by server. A clock has a say in
	// who is asked.
	Servers []ServerPart `json:"perf/servers,omitempty"`
	// ServerEvents is what happened to servers since the record before.
	ServerEvents []ServerEvent `json:"perf/server_events,omitempty"`

	Sample float64 `json:"timing_s/gen"`     // verification included
	Look   float64 `json:"timing_s/monitor"` // what is looked at for the monitor, verdicts included
	// Checkpoint is what the update waited for the checkpoint of the step before, which
	// is written while this one is sampled.
	Checkpoint float64 `json:"timing_s/checkpoint"`
	Update     float64 `json:"timing_s/update_actor"`
	// Publish is from the last optimizer step to the first tokens under the new
	// weights, which the canary has every server generate and judges: snapshot, load and canary.
	Publish float64 `json:"timing_s/publish"`
	Load    float64 `json:"timing_s/load"`   // the slowest server's part of publishing, from pause to resume
	Prove   float64 `json:"timing_s/canary"` // the slowest server's canary
	Total   float64 `json:"timing_s/step"`
	Tokens  int     `json:"perf/total_num_tokens"` // prompt and response tokens trained on
	Rate    float64 `json:"perf/throughput"`       // those tokens a second of the whole step
	// Ended is when the step was recorded; zero in runs of versions that did not say.
	Ended time.Time `json:"perf/ended,omitzero"`
}

// ResponseTokens are those that were sampled for the step, what sampling.dynamic
// left out included.
func (s Step) ResponseTokens() int64 {
	if s.Drawn != nil {
		return s.Drawn.ResponseTokens
	}
	if all := s.ResponseMean + s.PromptMean; all > 0 { // both are of the answers that Tokens is of
		return int64(math.Round(float64(s.Tokens) * s.ResponseMean / all))
	}
	return 0
}

// ServerPart is what one server gave to a step, and what that took.
type ServerPart struct {
	Server   string `json:"server"`
	Version  int64  `json:"version"` // of the weights that it sampled with; of a step sampled in parts, the newest
	Rollouts int    `json:"rollouts"`
	Tokens   int    `json:"tokens"`
	// Seconds is the time in which a request of the step was under way at it. A
	// step that was sampled in parts knows the last part's alone.
	Seconds float64 `json:"seconds"`
	// Retries counts samples asked of it that had to be asked for again, of it or
	// of another.
	Retries    int `json:"retries,omitempty"`
	Stragglers int `json:"stragglers,omitempty"` // its requests that took much longer than others of their length
	Fenced     int `json:"fenced,omitempty"`     // times since the record before
}

// The kinds of a ServerEvent.
const (
	ServerFenced    = "fenced"    // nothing is asked of it any more
	ServerRejoined  = "rejoined"  // it was loaded, and proved
	ServerStraggles = "straggler" // it takes much longer over requests than others; they go on
)

// ServerEvent is a server that left a run or came back, or one that is slow:
// that once between two records, whatever the number of requests.
type ServerEvent struct {
	Time    time.Time `json:"time"`
	Server  string    `json:"server"`
	Event   string    `json:"event"`
	Version int64     `json:"version,omitempty"` // that it rejoined with
	Reason  string    `json:"reason,omitempty"`  // that it was fenced for
	Seconds float64   `json:"seconds,omitempty"` // that it was out before it rejoined; of a straggler, those that its slowest request had taken when it was noticed
	// Usual is the seconds that requests like a straggler's slowest take.
	Usual float64 `json:"usual,omitempty"`
	// Requests counts a straggler's.
	Requests int `json:"requests,omitempty"`
	// TakenBack counts rollouts of the step that were drawn again, because what
	// the server had sampled them with was not the version that it was to serve.
	TakenBack int `json:"taken_back,omitempty"`
}

// Overlong says what reward.overlong_buffer did to the rewards of a step. It is part of
// critic/score, and not of reward/correct.
type Overlong struct {
	OverlongShare   float64 `json:"reward/overlong"`         // share of rollouts with a penalty
	OverlongPenalty float64 `json:"reward/overlong_penalty"` // mean over rollouts, at most 0
}

// Drawn says of a step with sampling.dynamic what was drawn for it, beside the
// groups that it trained on, which all other figures are about.
type Drawn struct {
	Batches        int     `json:"sampling/batches"`         // of sampling.batch rows
	Groups         int     `json:"sampling/groups_drawn"`    // all of them
	EqualGroups    int     `json:"sampling/groups_equal"`    // of these, left out because their answers were all right or all wrong
	SurplusGroups  int     `json:"sampling/groups_surplus"`  // left out because the step had enough before them
	CorrectShare   float64 `json:"sampling/correct"`         // share of all answers drawn that the verifier accepted
	ResponseTokens int64   `json:"sampling/response_tokens"` // of all answers drawn
	FLOPs          float64 `json:"sampling/flops,omitempty"` // that it takes to draw them; missing where the model's shape is not known
}

// Unscored counts what a step is without because its verifier failed, which is
// never a wrong answer. A step that is trained on again after a rewind does not
// know it.
type Unscored struct {
	Errors   int `json:"sampling/unscored_errors"`   // rollouts that the verifier failed on, every try
	Timeouts int `json:"sampling/unscored_timeouts"` // rollouts that it took too long over
}

// Texts says what the answers of a step look like; docs/monitoring.md has the
// definitions. Shares are of rollouts, or of those with a box where it says so.
type Texts struct {
	Boxed       float64 `json:"monitor/boxed"`        // share with a closed box
	NoReasoning float64 `json:"monitor/no_reasoning"` // of the boxed: with hardly a word before the last box
	BoxedOnly   float64 `json:"monitor/boxed_only"`   // of the boxed: with nothing but boxes
	ManyBoxes   float64 `json:"monitor/many_boxes"`   // of the boxed: with more boxes than a solution needs
	OneAnswer   float64 `json:"monitor/one_answer"`   // share of the commonest answer, beyond its share of the ground truths
	Copied      float64 `json:"monitor/copied"`       // long texts that another rollout of their group has too
	Looping     float64 `json:"monitor/looping"`      // share whose end repeats itself
}

// Compared says how a sample of a step's rollouts comes out under the other of
// the strict box and the rule grader.
type Compared struct {
	Judged        int `json:"monitor/compared"`               // rollouts that both judged
	OnlyTraining  int `json:"monitor/compared_only_training"` // accepted by training's verifier alone
	OnlyOther     int `json:"monitor/compared_only_other"`    // accepted by the other alone
	CompareErrors int `json:"monitor/compared_errors"`        // that the other failed on, or had no time for
}

// Rescored says how the kept answers ([Fixed]) scored at a step.
type Rescored struct {
	Rescored      int `json:"monitor/rescored"`         // answers that were scored again
	Changed       int `json:"monitor/rescored_changed"` // of these, with another reward or verdict than at first
	RescoreErrors int `json:"monitor/rescored_errors"`  // that the verifier failed on, or had no time for
}

// And adds two counts, each nil for nothing.
func (u *Unscored) And(more *Unscored) *Unscored {
	if u == nil || more == nil {
		return cmp.Or(u, more)
	}
	return &Unscored{u.Errors + more.Errors, u.Timeouts + more.Timeouts}
}

// Validation is one measurement on the held-out sets, a line of validation.jsonl.
type Validation struct {
	Steps    int                `json:"steps"`    // done before it; 0 is before training
	Accuracy map[string]float64 `json:"accuracy"` // by set
	// Sampled is the share of right answers at the training temperature, by set; empty unless validation.sampled_n asks for it.
	Sampled map[string]float64 `json:"sampled,omitempty"`
	// Unscored counts the answers, of both kinds, that the verifier failed on, by set: they are in no share.
	Unscored map[string]int `json:"unscored,omitempty"`
	// Answers counts those that Accuracy is a share of, by set; versions before the monitor did not say.
	Answers map[string]int `json:"answers,omitempty"`
	Seconds float64        `json:"timing_s/validate"`
	// Ended is when it was recorded; zero in runs of versions that did not say.
	Ended time.Time `json:"perf/ended,omitzero"`
	Cost            // TokensValidated, FLOPsValidated and ServerSeconds
}

// Progress is what a resumed run needs besides the weights and the optimizer's state.
type Progress struct {
	NextStep int             `json:"next_step"`
	Cursor   json.RawMessage `json:"cursor"` // the data stream's own position
	WallS    float64         `json:"wall_s"` // up to this checkpoint; what was lost after one does not count
	Tokens   int64           `json:"tokens"` // response tokens sampled so far
}

// FirstAndLast is a figure before and after training.
type FirstAndLast struct {
	First float64 `json:"first"`
	Last  float64 `json:"last"`
}

// Summary is what a finished run comes to.
type Summary struct {
	Steps         int                     `json:"steps"`
	Validation    map[string]FirstAndLast `json:"validation"`        // accuracy as validation.temperature says, by set
	Sampled       map[string]FirstAndLast `json:"sampled,omitempty"` // at the training temperature; empty unless validation.sampled_n asks for it
	RewardFirst   float64                 `json:"reward_first"`      // mean reward of the first step
	RewardLast    float64                 `json:"reward_last"`
	WallS         float64                 `json:"wall_s"`
	Fenced        int                     `json:"servers_fenced,omitempty"` // times that a server was, over the recorded steps
	Rejoined      int                     `json:"servers_rejoined,omitempty"`
	Tokens        int64                   `json:"tokens"`         // response tokens sampled
	Cost          Costs                   `json:"cost"`           // what it took, over all its processes
	WeightsSHA256 string                  `json:"weights_sha256"` // over the final tensors in name order
	Model         string                  `json:"model"`          // folder of the final weights
	Best          *Best                   `json:"best,omitempty"` // the best checkpoint by validation; nil where there was none
}

// Rollout is one line of rollouts/step-….jsonl and of what `justrl update` reads.
// Correct and Answer are the verifier's; Reward is its reward with Penalty in
// it. Only in the file of a finished step of the shuffled-reward control they
// are another rollout's: those that the step was trained with.
type Rollout struct {
	Group          int64     `json:"group"` // the row's ordinal
	ProblemID      string    `json:"problem_id"`
	Sample         int       `json:"sample"`
	PromptTokenIDs []int32   `json:"prompt_token_ids"`
	TokenIDs       []int32   `json:"token_ids"`
	Logprobs       []float32 `json:"logprobs"`
	Text           string    `json:"text"`
	FinishReason   string    `json:"finish_reason"`
	Reward         float64   `json:"reward"`
	Penalty        float64   `json:"penalty,omitempty"` // the part of Reward that reward.overlong_buffer took away
	Correct        bool      `json:"correct"`
	Answer         string    `json:"answer"`           // what the verifier took for it; "" if it found none
	WeightsVersion int64     `json:"weights_version"`  // that it was sampled with
	Server         string    `json:"server,omitempty"` // that sampled it; "" where there was but one
}

// Answer is one answer to a held-out problem, a line of eval/step-…/SET.jsonl.
type Answer struct {
	ProblemID    string `json:"problem_id"`
	Question     string `json:"question"`
	GroundTruth  string `json:"ground_truth"`
	Sampled      bool   `json:"sampled"` // at the training temperature (validation.sampled_n), not as validation.temperature says
	Sample       int    `json:"sample"`
	Tokens       int    `json:"tokens"`
	Text         string `json:"text"`
	FinishReason string `json:"finish_reason"`
	Correct      bool   `json:"correct"`
}
