// Package config is the typed configuration of a training run: its presets,
// how a file and --set overrides are laid over them, and its validation.
//
// Every key is written out in a run's config.yaml, so that a run directory
// says all that the run depended on. Keys that do not exist are errors.
//
// JustRL's presets (justrl-deepseek-1.5b, justrl-nemotron-1.5b and tiny-cpu)
// deliberately leave out what other recipes add, each of which has a key here that
// is off in them: dynamic sampling (sampling.dynamic), a penalty on length
// (reward.overlong_buffer), a KL term, a reference model and an entropy bonus,
// ratios of whole sequences and truncated importance sampling (update.…). The
// presets grpo-classic, dr-grpo and dapo are baselines that switch some of them
// on; justrl-overlong is the paper's ablation and has the penalty. Stages and
// curricula have no key.
//
// One value depends on others: Dr. GRPO's update.norm_tokens, which follows
// update.mini_batch × sampling.n × sampling.max_tokens unless it is set itself.
package config

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/justrl/justrl/updater"
)

// Config is everything that decides what a run does.
type Config struct {
	Preset string   `yaml:"preset" about:"the preset that the other values started from"`
	Model  string   `yaml:"model" about:"folder of the policy in the Hugging Face layout"`
	Data   string   `yaml:"data" about:"training problems: a .parquet, .jsonl or .csv file"`
	Out    string   `yaml:"out" about:"run directory"`
	Server []string `yaml:"server" about:"URLs of OpenAI-compatible servers; none = the embedded one, on the CPU, started and stopped by the run"`
	Served string   `yaml:"served_model" about:"name of the model on the server; empty = the only one it serves"`
	Seed   int64    `yaml:"seed" about:"of data order, sampling and the shuffled-reward control"`
	Steps  int      `yaml:"steps" about:"training steps, counted from 0"`
	Budget Budget   `yaml:"budget" about:"what ends a run before its steps are done, so that recipes can be compared at equal cost"`

	Problems   Problems                `yaml:"problems" about:"how a row of data becomes a question and its ground truth"`
	Sampling   Sampling                `yaml:"sampling" about:"how rollouts are drawn"`
	Reward     Reward                  `yaml:"reward" about:"how rollouts are scored"`
	Update     updater.Config          `yaml:"update" about:"the objective and how a step is cut into updates"`
	Optimizer  updater.OptimizerConfig `yaml:"optimizer" about:"AdamW"`
	Mismatch   Mismatch                `yaml:"mismatch" about:"gate on server against trainer log-probs, before the first update"`
	Publish    Publish                 `yaml:"publish" about:"how weights reach the servers"`
	Checkpoint Checkpoint              `yaml:"checkpoint" about:"where a run can be resumed from"`
	Validation Validation              `yaml:"validation" about:"accuracy on held-out problems"`
	Notify     Notify                  `yaml:"notify" about:"a program that is told what happens to the run"`
	Monitor    Monitor                 `yaml:"monitor" about:"failure signatures that the run looks for in itself (docs/monitoring.md); the lines about them say what their thresholds are"`
	Trainer    Trainer                 `yaml:"trainer" about:"where the updater runs"`
	Engine     Engine                  `yaml:"engine" about:"the embedded server, where no other is named; it changes how fast answers come, not what they are"`
}

// Engine sizes the embedded server.
type Engine struct {
	Sequences int `yaml:"sequences" about:"samples that run at a time"`
	CacheMiB  int `yaml:"cache_mib" about:"memory for keys and values, MiB; taken as it is needed"`
}

// Budget bounds what a run may use.
type Budget struct {
	Tokens int64 `yaml:"tokens" about:"response tokens sampled in training, what sampling.dynamic leaves out included; the step that goes over it is the last; 0 = no bound"`
}

// Sampling says how rollouts are drawn.
type Sampling struct {
	Batch           int      `yaml:"batch" about:"rows (groups) a step"`
	N               int      `yaml:"n" about:"rollouts a row"`
	Temperature     float64  `yaml:"temperature" about:"must equal update.temperature"`
	MaxTokens       int      `yaml:"max_tokens" about:"response tokens; a longer answer is cut and trained on as it is"`
	MaxPromptTokens int      `yaml:"max_prompt_tokens" about:"rows with a longer prompt are dropped and counted"`
	Concurrency     int      `yaml:"concurrency" about:"rows in flight at once"`
	Shuffle         bool     `yaml:"shuffle" about:"draw the problems in a seeded random order"`
	RequestTimeout  Duration `yaml:"request_timeout" about:"bounds one attempt at one row's rollouts; 0s = no bound"`
	Patience        Duration `yaml:"patience" about:"how long a server may be away, restarting perhaps, before the run stops"`
	StepTimeout     Duration `yaml:"step_timeout" about:"bounds the sampling of one step; what is sampled by then is kept, and the run stops and can be resumed; 0s = no bound"`
	Stream          bool     `yaml:"stream" about:"have a vLLM's answers come token by token: a cut connection loses none, the rest is asked for after what came; costs the client more than whole answers"`
	// AllowRetokenized is for Ollama, which gives text alone.
	AllowRetokenized bool `yaml:"allow_retokenized" about:"train on answers of a server that gives no token ids: they are tokenized here (docs/servers.md says what that costs)"`
	// Dynamic is DAPO's dynamic sampling, which JustRL does without.
	Dynamic    bool `yaml:"dynamic" about:"draw batch after batch until batch rows have both right and wrong answers, and train on those alone"`
	MaxBatches int  `yaml:"max_batches" about:"batches a step with dynamic, before the run stops"`
}

// Reward says how rollouts are scored.
type Reward struct {
	Verifier string `yaml:"verifier" about:"strict-box (the paper's) | rule | choice | exact | numeric | f1 | regex | command | http"`
	// Timeout and MaxUnscored keep what a verifier fails on apart from wrong answers.
	Timeout     Duration `yaml:"timeout" about:"bounds one verification; one that takes longer is not tried again"`
	MaxUnscored float64  `yaml:"max_unscored" about:"share of a step's rollouts, in [0, 1), that the verifier may fail or time out on before the run stops; they are left out; 0 = none"`
	// The following belong to the verifiers that they name, and are refused with another.
	Workers           int      `yaml:"workers" about:"rule, command, http: verifications at a time; 0 = the number of CPUs"`
	Python            string   `yaml:"python" about:"rule: interpreter with the grader's libraries; empty = one of its own, in the cache"`
	IgnoreCase        bool     `yaml:"ignore_case" about:"exact: letters that differ in case alone are the same"`
	IgnoreSpace       bool     `yaml:"ignore_space" about:"exact: white space at the ends does not count, and a run of it is one space"`
	IgnorePunctuation bool     `yaml:"ignore_punctuation" about:"exact: punctuation does not count"`
	AbsTolerance      float64  `yaml:"abs_tolerance" about:"numeric: largest difference from the truth; 0 = none"`
	RelTolerance      float64  `yaml:"rel_tolerance" about:"numeric: the same as a share of the truth; the larger of the two counts; 0 = none"`
	Threshold         float64  `yaml:"threshold" about:"f1: reward from which an answer counts as correct, in (0, 1]; 0 = 1, all words"`
	Pattern           string   `yaml:"pattern" about:"regex: Go expression (RE2) that is searched for in the response, {truth} standing for the quoted truth; empty = the truth is one, for the whole answer"`
	Command           []string `yaml:"command" about:"command: program and arguments that answer JSON lines {id, response, ground_truth} with {id, score}; see sampler/reward"`
	URL               string   `yaml:"url" about:"http: where {id, response, ground_truth} is posted, and answered with {score}; see sampler/reward"`
	// ShuffleControl is for experiments: a run that still improves with it
	// learns something other than the reward.
	ShuffleControl bool `yaml:"shuffle_control" about:"permute the rewards among all rollouts of a step (a control; never for training)"`
	// OverlongBuffer and OverlongFactor are DAPO's soft punishment of long answers,
	// which JustRL does without. Validation is never shaped.
	OverlongBuffer int     `yaml:"overlong_buffer" about:"tokens before sampling.max_tokens over which the reward falls by overlong_factor; 0 = off"`
	OverlongFactor float64 `yaml:"overlong_factor" about:"what an answer of sampling.max_tokens loses, with overlong_buffer"`
}

// Mismatch gates the difference between the server's log-probs and the
// trainer's, measured before the first update of a step.
type Mismatch struct {
	MaxRatioP50 float64 `yaml:"max_ratio_p50" about:"largest median of exp(|Δ log-prob|); 0 = no gate"`
	MaxKL       float64 `yaml:"max_kl" about:"largest |mean Δ log-prob| beyond 3 standard errors, nats; 0 = no gate"`
}

const (
	// SyncAuto leaves the way of loading to what each server offers.
	SyncAuto = "auto"
	// SyncCommand runs publish.command, whatever the server offers.
	SyncCommand = "command"
)

// Syncs are the values of publish.sync. What a server is loaded by is found by
// asking it (sampler.Info.Loads); these are the names that there are.
var Syncs = []string{SyncAuto, "files", "in-place", "transfer", "disk", "ollama", SyncCommand}

// Publish says how weights reach the servers.
type Publish struct {
	Sync    string   `yaml:"sync" about:"way of loading the servers, by its name as justrl doctor lists them; auto = the best that each offers"`
	Command []string `yaml:"command" about:"sync command: program and arguments that load a snapshot, {dir} {version} {url} in them; it ends when the old weights are out of reach"`
	Dir     string   `yaml:"dir" about:"folder for snapshots, a subfolder a run, on a path that the servers read too; empty = OUT/snapshots"`
	Share   string   `yaml:"share" about:"HOST:PORT on which agents, beside servers without that path, fetch snapshots; empty = none"`
	Agents  []string `yaml:"agents" about:"the agents: URL, or SERVER=URL where there are several servers"`
	Keep    int      `yaml:"keep" about:"snapshots kept on disk, ≥ 2 (the live one and the one before)"`
	Probes  int      `yaml:"probes" about:"canary sequences scored before and after each load"`
	Timeout Duration `yaml:"timeout" about:"of writing and loading one snapshot, canary included"`
}

// CheckSync is nil if there is such a way of loading.
func (p Publish) CheckSync() error {
	switch {
	case p.Sync == SyncCommand && len(p.Command) == 0:
		return fmt.Errorf("publish.sync (--sync) is %s: say which, as in --set 'publish.command=[./reload, \"{dir}\"]'", SyncCommand)
	case p.Sync != SyncCommand && len(p.Command) > 0:
		return fmt.Errorf("publish.command is for publish.sync (--sync) %s, which is %s", SyncCommand, p.Sync)
	case slices.Contains(Syncs, p.Sync):
		return nil
	}
	return fmt.Errorf("publish.sync (--sync) must be one of %s, is %q", strings.Join(Syncs, ", "), p.Sync)
}

// Checkpoint says when the run can be resumed from.
type Checkpoint struct {
	Every int `yaml:"every" about:"steps; 0 = only at the end and when interrupted"`
	Keep  int `yaml:"keep" about:"newest checkpoints kept, at least 2, beside the best by validation; 0 = all"`
	// KeepEvery is for what one wants to go back to, or to evaluate later.
	KeepEvery int `yaml:"keep_every" about:"steps; checkpoints after a multiple of so many are kept beside those; 0 = none"`
	// Rollouts are kept as parquet that `justrl update --rollouts` reads.
	Rollouts int `yaml:"rollouts" about:"newest steps whose rollouts are kept, beside those since the checkpoint before the newest; 0 = all"`
}

// Validation is greedy or sampled accuracy on held-out problems, before the
// first step, every so many steps, and after the last.
type Validation struct {
	Data        []string `yaml:"data" about:"files of held-out problems; none = no validation"`
	Problems    Problems `yaml:"problems" about:"as problems, for these files; all empty = as problems"`
	Verifier    string   `yaml:"verifier" about:"rule = where reward.verifier is strict-box, the grader of evaluations instead; empty = reward.verifier"`
	Every       int      `yaml:"every" about:"steps; 0 = only before and after the run"`
	Best        string   `yaml:"best" about:"set by whose accuracy the best checkpoint is marked; empty = the mean over all sets"`
	N           int      `yaml:"n" about:"answers a problem"`
	Temperature float64  `yaml:"temperature" about:"0 = greedy (n must be 1)"`
	TopP        float64  `yaml:"top_p" about:"(0, 1]"`
	MaxTokens   int      `yaml:"max_tokens" about:"response tokens"`
	// SampledN shows what training does to the distribution that it samples from.
	SampledN int `yaml:"sampled_n" about:"answers a problem at sampling.temperature and top-p 1, beside the others; 0 = none"`
}

// Notify says whom the run tells that it started, ended or failed, that a server
// is out or back, and what the monitor saw: package notify has the events.
type Notify struct {
	Command []string `yaml:"command" about:"program and arguments, started once an event, with the event as JSON on standard input; none = nobody is told"`
	Timeout Duration `yaml:"timeout" about:"bounds one start of it; the run never waits for it, but once for so long at its end"`
}

// Trainer says where and how the updater runs.
type Trainer struct {
	Device  string `yaml:"device" about:"cpu | cuda:0 …"`
	Threads int    `yaml:"threads" about:"CPU threads of libtorch; 0 = all cores"`
	DType   string `yaml:"dtype" about:"float32 | bfloat16; empty = the model's own"`
}

// Duration is a time.Duration that is written as "90s" or "5m".
type Duration time.Duration

// MarshalYAML writes the duration as Go prints it.
func (d Duration) MarshalYAML() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("%q is not a duration like 90s or 5m", b)
	}
	*d = Duration(v)
	return nil
}

// Validate reports every fault at once, one a line; nil if there is none. It
// looks at values and how they relate, never at files or servers.
func (c Config) Validate() error {
	var errs []error
	must := func(ok bool, key, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
		}
	}
	must(c.Steps >= 1, "steps", "must be at least 1, is %d", c.Steps)
	must(c.Budget.Tokens >= 0, "budget.tokens", "must be 0 (no bound) or more, is %d", c.Budget.Tokens)
	must(c.Seed >= 0, "seed", "must be 0 or more, is %d", c.Seed)
	s := c.Sampling
	must(s.Batch >= 1, "sampling.batch", "must be at least 1, is %d", s.Batch)
	must(s.N >= 2, "sampling.n", "must be at least 2 (an advantage compares rollouts of one row), is %d", s.N)
	must(s.Temperature > 0, "sampling.temperature", "must be more than 0, is %g", s.Temperature)
	must(s.Temperature == c.Update.Temperature, "update.temperature", "must equal sampling.temperature (%g), is %g", s.Temperature, c.Update.Temperature)
	must(s.MaxTokens >= 1, "sampling.max_tokens", "must be at least 1, is %d", s.MaxTokens)
	must(s.MaxPromptTokens >= 1, "sampling.max_prompt_tokens", "must be at least 1, is %d", s.MaxPromptTokens)
	must(s.Concurrency >= 1, "sampling.concurrency", "must be at least 1, is %d", s.Concurrency)
	must(s.RequestTimeout >= 0, "sampling.request_timeout", "must be 0s or more, is %s", time.Duration(s.RequestTimeout))
	must(s.Patience > 0, "sampling.patience", "must be more than 0s, is %s", time.Duration(s.Patience))
	must(s.StepTimeout >= 0, "sampling.step_timeout", "must be 0s (no bound) or more, is %s", time.Duration(s.StepTimeout))
	must(s.MaxBatches >= 1, "sampling.max_batches", "must be at least 1, is %d", s.MaxBatches)
	o := c.Reward
	must(o.OverlongBuffer >= 0 && o.OverlongBuffer <= max(s.MaxTokens, 0), "reward.overlong_buffer", "must be from 0 (off) to sampling.max_tokens (%d), is %d", s.MaxTokens, o.OverlongBuffer)
	must(o.OverlongFactor > 0 && !math.IsInf(o.OverlongFactor, 0), "reward.overlong_factor", "must be more than 0, is %g", o.OverlongFactor)
	for _, err := range []error{c.Reward.Validate(), c.Update.Validate(), c.Optimizer.Validate()} {
		if err != nil {
			errs = append(errs, err)
		}
	}
	must(c.Mismatch.MaxRatioP50 == 0 || c.Mismatch.MaxRatioP50 > 1, "mismatch.max_ratio_p50", "must be 0 (no gate) or more than 1, is %g", c.Mismatch.MaxRatioP50)
	must(c.Mismatch.MaxKL >= 0, "mismatch.max_kl", "must be 0 (no gate) or more, is %g", c.Mismatch.MaxKL)
	if err := c.Publish.CheckSync(); err != nil {
		errs = append(errs, err)
	}
	must(c.Publish.Keep >= 2, "publish.keep", "must be at least 2, is %d", c.Publish.Keep)
	must(c.Publish.Probes >= 1, "publish.probes", "must be at least 1, is %d", c.Publish.Probes)
	must(c.Publish.Timeout > 0, "publish.timeout", "must be more than 0s, is %s", time.Duration(c.Publish.Timeout))
	must(c.Checkpoint.Every >= 0, "checkpoint.every", "must be 0 or more, is %d", c.Checkpoint.Every)
	must(c.Checkpoint.Keep == 0 || c.Checkpoint.Keep >= 2, "checkpoint.keep", "must be 0 (all) or at least 2 (a resume takes the one before the newest where that is damaged), is %d", c.Checkpoint.Keep)
	must(c.Checkpoint.KeepEvery >= 0, "checkpoint.keep_every", "must be 0 (none) or more, is %d", c.Checkpoint.KeepEvery)
	if c.Checkpoint.Every > 0 && c.Checkpoint.KeepEvery > 0 {
		must(c.Checkpoint.KeepEvery%c.Checkpoint.Every == 0, "checkpoint.keep_every", "must be a multiple of checkpoint.every (%d), is %d", c.Checkpoint.Every, c.Checkpoint.KeepEvery)
	}
	must(c.Checkpoint.Rollouts >= 0, "checkpoint.rollouts", "must be 0 or more, is %d", c.Checkpoint.Rollouts)
	v := c.Validation
	must(v.Verifier == "" || v.Verifier == VerifierRule, "validation.verifier", "must be %s or empty, is %q", VerifierRule, v.Verifier)
	must(v.Every >= 0, "validation.every", "must be 0 or more, is %d", v.Every)
	must(v.N >= 1, "validation.n", "must be at least 1, is %d", v.N)
	must(v.Temperature >= 0, "validation.temperature", "must be 0 or more, is %g", v.Temperature)
	must(v.Temperature > 0 || v.N == 1, "validation.n", "must be 1 when validation.temperature is 0 (greedy answers are all the same), is %d", v.N)
	must(v.TopP > 0 && v.TopP <= 1, "validation.top_p", "must be in (0, 1], is %g", v.TopP)
	must(v.MaxTokens >= 1, "validation.max_tokens", "must be at least 1, is %d", v.MaxTokens)
	must(v.SampledN >= 0, "validation.sampled_n", "must be 0 (none) or more, is %d", v.SampledN)
	must(c.Engine.Sequences >= 1, "engine.sequences", "must be at least 1, is %d", c.Engine.Sequences)
	must(c.Engine.CacheMiB >= 1, "engine.cache_mib", "must be at least 1, is %d", c.Engine.CacheMiB)
	must(c.Notify.Timeout > 0, "notify.timeout", "must be more than 0s, is %s", time.Duration(c.Notify.Timeout))
	must(len(c.Notify.Command) == 0 || c.Notify.Command[0] != "", "notify.command", "must begin with a program, begins with \"\"")
	for _, err := range []error{c.Monitor.Validate(), c.Trainer.Validate()} {
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

var devices = regexp.MustCompile(`^(cpu|cuda(:[0-9]{1,2})?)?$`)

// Validate reports every fault at once, one a line; nil if there is none.
func (t Trainer) Validate() error {
	var errs []error
	must := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	must(t.Threads >= 0, "trainer.threads: must be 0 (all cores) or more, is %d", t.Threads)
	must(slices.Contains([]string{"", "float32", "bfloat16"}, t.DType), "trainer.dtype: must be float32, bfloat16 or empty (the model's own), is %q", t.DType)
	must(devices.MatchString(t.Device), "trainer.device: must be cpu, cuda or cuda:N, is %q", t.Device)
	return errors.Join(errs...)
}
