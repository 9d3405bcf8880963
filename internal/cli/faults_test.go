package cli

import (
	"bytes"
	"context"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/orchestrator"
	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/sampler/openaitest"
	"github.com/justrl/justrl/sampler/reward"
	"github.com/justrl/justrl/sampler/tokenizer"
	"github.com/justrl/justrl/updater"
)

const faultyModel = "../../examples/arithmetic/policy"

// tableTrainer is a trainer without libtorch: its policy is the fake server's
// own, which the hash of the weights decides.
type tableTrainer struct {
	trainer // what a run here does not ask
	t       *testing.T
	o       openaitest.Options
	step    byte
	policy  *openaitest.Policy // of the weights of now; nil is not known yet
}

func (u *tableTrainer) Export(_ context.Context, dir string) error {
	if err := os.CopyFS(dir, os.DirFS(faultyModel)); err != nil {
		return err
	}
	path := filepath.Join(dir, "model.safetensors")
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	b[len(b)-1] += u.step
	return os.WriteFile(path, b, 0o600)
}

func (u *tableTrainer) Score(ctx context.Context, seqs [][]int32, _ float64) ([]updater.Scores, error) {
	if u.policy == nil {
		dir := u.t.TempDir()
		if err := u.Export(ctx, dir); err != nil {
			return nil, err
		}
		sum, err := openaitest.HashWeights(dir)
		if err != nil {
			return nil, err
		}
		u.policy = openaitest.NewPolicy(u.o, sum)
	}
	out := make([]updater.Scores, len(seqs))
	for i, ids := range seqs {
		out[i].Logprobs = u.policy.Logprobs(ids)
	}
	return out, nil
}

func (u *tableTrainer) Step(_ context.Context, _ int, _ []updater.Group, gate func(updater.Mismatch) error) (updater.StepResult, error) {
	if err := gate(updater.Mismatch{}); err != nil {
		return updater.StepResult{}, err
	}
	u.step, u.policy = u.step+1, nil
	return updater.StepResult{Updates: []updater.UpdateMetrics{{Tokens: 1}}}, nil
}

func (u *tableTrainer) SaveState(context.Context, string) error { return nil }

// staged is a run's progress that lets something happen as a phase begins.
type staged struct {
	*progress
	phase func(step int, phase string)
}

func (s staged) Phase(step int, phase string) {
	s.phase(step, phase)
	s.progress.Phase(step, phase)
}

// bad is a run of two steps against servers of which the first has a fault.
type bad struct {
	servers []*openaitest.Server
	cfg     config.Config
	out     string
	said    string // on stderr
	told    func(journal.ServerEvent)
	still   func(name string, err error)
}

// first is the server with the fault.
func (b *bad) first() *openaitest.Server { return b.servers[0] }

// train is what the command does, but for libtorch and the last words of train.
func (b *bad) train(t *testing.T, o openaitest.Options, phase func(step int, phase string)) (err error) {
	ctx := t.Context()
	var said bytes.Buffer
	p := newProgress(&said, "text", b.cfg, nil)
	defer func() { b.said = said.String() }()
	var open closers
	defer func() {
		if err := open.close(); err != nil {
			t.Error(err)
		}
	}()
	all, err := openServers(ctx, cli.NewContext(cli.NewApp(), flag.NewFlagSet("run", flag.ContinueOnError), nil), b.cfg, p.Retrying)
	if err != nil {
		return err
	}
	open.add(all.Close)
	tok, err := tokenizer.Load(b.cfg.Model)
	if err != nil {
		t.Fatal(err)
	}
	problems, err := openData(ctx, b.cfg, tok)
	if err != nil {
		t.Fatal(err)
	}
	open.add(problems.Close)
	dir, err := journal.Create(b.out, journal.Info{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	open.add(dir.Close)
	want, err := inspector{}.Tensors(b.cfg.Model)
	if err != nil {
		t.Fatal(err)
	}
	u := &tableTrainer{t: t, o: o}
	k, err := newKeeper(ctx, all, b.cfg, "run", want, u, problems, p)
	if err != nil {
		return err
	}
	k.first, k.most = 20*time.Millisecond, 200*time.Millisecond
	if b.told != nil {
		k.told = b.told
	}
	if b.still != nil {
		k.still = b.still
	}
	open.add(k.Close)
	run := orchestrator.Run{
		Config: b.cfg, Updater: u, Journal: dir, Observer: staged{p, phase}, Now: time.Now,
		Snapshots: snapshots(b.cfg, "run", want, u), Bridge: k.bridge, Servers: k,
	}
	if _, err := run.Resume(ctx); err != nil {
		t.Fatal(err)
	}
	if run.Rows, err = problems.stream(b.cfg, nil); err != nil {
		t.Fatal(err)
	}
	run.Sampler, run.Validator = samplers(b.cfg, k.generator(len(all)), reward.StrictBox{}, reward.StrictBox{}, p.Rollout)
	_, err = run.Train(ctx)
	return err
}

// honest is a server without a fault.
func honest() openaitest.Options {
	return openaitest.Options{Vocab: 384, EOS: 355, MaxModelLen: 2048, ModelDir: faultyModel}
}

// against is a run of two steps against so many servers.
func against(t *testing.T, servers int, o openaitest.Options) *bad {
	t.Helper()
	cfg, err := config.Preset("tiny-cpu")
	if err != nil {
		t.Fatal(err)
	}
	b := &bad{cfg: cfg, out: filepath.Join(t.TempDir(), "run")}
	for range servers {
		s := openaitest.New(t, o)
		b.servers, b.cfg.Server = append(b.servers, s), append(b.cfg.Server, s.URL)
	}
	b.cfg.Model, b.cfg.Data, b.cfg.Out, b.cfg.Steps = faultyModel, "../../examples/arithmetic/train.jsonl", b.out, 2
	b.cfg.Sampling.Batch, b.cfg.Sampling.N, b.cfg.Sampling.MaxTokens, b.cfg.Publish.Probes = 2, 2, 24, 2
	b.cfg.Sampling.Patience = config.Duration(time.Second)
	return b
}

// load has somebody else load an older snapshot of the run into the server.
func (b *bad) load(t *testing.T, version string) {
	t.Helper()
	e, err := endpoint.New(b.first().URL, endpoint.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	body := map[string]any{"method": "reload_weights", "kwargs": map[string]string{"weights_path": filepath.Join(b.out, "snapshots", version)}}
	if err := e.Do(t.Context(), http.MethodPost, "/collective_rpc", body, nil); err != nil {
		t.Fatal(err)
	}
}

// What is wrong with a server is said in words that a user can act on, and
// nothing wrong is trained on: the run refuses it, goes on without it, or ends.
func TestFaultsAreDiagnosed(t *testing.T) {
	completions := func(f openaitest.Fault) func(*testing.T, *bad) {
		return func(_ *testing.T, b *bad) { b.first().Inject(f) }
	}
	set := func(change func(*openaitest.Options)) func(*testing.T, *bad) {
		return func(_ *testing.T, b *bad) { b.first().Set(change) }
	}
	for _, c := range []struct {
		name    string
		servers int // 0 is one
		options func(*openaitest.Options)
		config  func(*config.Config)
		fault   func(t *testing.T, b *bad) // as step 1 begins to be sampled
		early   bool                       // or before the run
		wants   []string                   // of the error that ends the run; none: it ends well
		said    []string                   // meanwhile
	}{
		// Refused at the start.
		{name: "temperature ignored", options: func(o *openaitest.Options) { o.IgnoreTemperature = true },
			wants: []string{"URL: ignores the temperature: at temperature 0 another seed gives other tokens; look for what overrides sampling parameters"}},
		{name: "raw log-probs where processed ones are needed", config: func(c *config.Config) { c.Sampling.Temperature, c.Update.Temperature = 0.7, 0.7 },
			wants: []string{"URL: gives log-probs before temperature, and sampling.temperature is 0.7; start it with --logprobs-mode processed_logprobs"}},
		{name: "processed log-probs, which at temperature 1 are the raw ones", options: func(o *openaitest.Options) { o.Processed = true }},
		{name: "another model", config: func(c *config.Config) { c.Served = "policy" }, options: func(o *openaitest.Options) { o.Model = "llama" },
			wants: []string{`URL: does not serve "policy"; it serves llama`}},
		{name: "another vocabulary", options: func(o *openaitest.Options) { o.Vocab = 640 },
			wants: []string{"URL: serves tiny with a vocabulary of 640, the run's model has 384; start it with the run's model"}},
		{name: "no token ids from the start", early: true, fault: completions(openaitest.Fault{Kind: openaitest.FaultNoIDs, Times: -1}),
			wants: []string{"URL: gives no token ids or no log-probs with its answers; use vLLM 0.18 or later, and no proxy that leaves fields out"}},

		// Weights that are not those of the step.
		{name: "keeps old weights", fault: set(func(o *openaitest.Options) { o.KeepOldWeights = true }),
			wants: []string{"step 1: server URL, weights version 3: canary (own): it acknowledged the reload but still answers with version 2's weights", "restart it"}},
		{name: "stale prefix cache", fault: set(func(o *openaitest.Options) { o.KeepOldCache = true }),
			wants: []string{"step 1: server URL, weights version 3: canary (cache): it answers from a prefix cache of older weights", "--no-enable-prefix-caching"}},
		{name: "answers from an older version", fault: func(t *testing.T, b *bad) { b.load(t, "version-000001") },
			wants: []string{"server URL, weights version 2: canary (idle): ", "it was restarted, or somebody else loads weights into it", "keep others from it"}},
		{name: "answers from an older version, and another server", servers: 2, fault: func(t *testing.T, b *bad) { b.load(t, "version-000001") },
			said: []string{"server URL is fenced: nothing is asked of it until it is back and proved: server URL, weights version 2: canary (idle): "}},

		// Answers that are none.
		{name: "missing token ids", fault: completions(openaitest.Fault{Kind: openaitest.FaultNoIDs, Times: -1}),
			wants: []string{"no server serves version 2, after a wait of 1s: URL is out for ", "bad reply", "no token_ids, without which nothing can be trained on"}},
		{name: "tokens of another vocabulary", fault: completions(openaitest.Fault{Kind: openaitest.FaultVocab, Times: -1}),
			wants: []string{"is out for ", "token 0 is 384, outside the vocabulary of 384: is this the run's model?"}},
		{name: "a duplicated choice", fault: completions(openaitest.Fault{Kind: openaitest.FaultTwice, Sample: 1, Times: -1}), config: whole,
			wants: []string{"URL/v1/completions: bad reply: ", "choice 1 has index 0, which is missing, out of range or there twice"}},
		{name: "a missing choice", fault: completions(openaitest.Fault{Kind: openaitest.FaultDrop, Times: -1}),
			wants: []string{"is out for ", "choices, asked for "}},
		{name: "truncated JSON", fault: completions(openaitest.Fault{Kind: openaitest.FaultEnd, Times: -1}),
			wants: []string{"is out for ", "bad reply", "unexpected EOF"}},
		{name: "truncated JSON once, and another server", servers: 2, fault: completions(openaitest.Fault{Kind: openaitest.FaultEnd}),
			said: []string{"server URL is fenced", "unexpected EOF"}},

		// Connections and statuses.
		{name: "a cut stream goes on from its prefix", config: func(c *config.Config) { c.Sampling.Stream = true }, fault: completions(openaitest.Fault{Kind: openaitest.FaultCut}),
			said: []string{"an answer was cut and goes on after what had come of it: POST URL/v1/completions: "}},
		{name: "a stream that is cut before every token", config: func(c *config.Config) { c.Sampling.Stream = true }, fault: completions(openaitest.Fault{Kind: openaitest.FaultClose, Times: -1}),
			wants: []string{"is out for ", "the server closed the connection"}},
		{name: "429 with Retry-After", fault: completions(openaitest.Fault{Status: 429, RetryAfter: time.Second, Times: 2})},
		{name: "429 with Retry-After for ever", fault: completions(openaitest.Fault{Status: 429, RetryAfter: time.Second, Times: -1}),
			wants: []string{"is out for ", "it has refused everything for ", "POST URL/v1/completions: 429: the fault that was asked for"}},
		{name: "500 for ever", config: whole, fault: completions(openaitest.Fault{Status: 500, Times: -1}),
			wants: []string{"is out for ", "3 failures in a row: ", "POST URL/v1/completions: 500: the fault that was asked for"}},
		{name: "500 now and then", fault: completions(openaitest.Fault{Status: 500, Times: 2})},
		{name: "500 for ever, and another server", servers: 2, fault: completions(openaitest.Fault{Status: 500, Times: -1})},
		{name: "a dead engine, and another server", servers: 2, fault: completions(openaitest.Fault{Status: 500, Body: `{"error":{"message":"EngineCore encountered an issue.","type":"InternalServerError","param":null,"code":500}}`}),
			said: []string{"server URL is fenced", "500: EngineCore encountered an issue."}},
		{name: "hangs", config: func(c *config.Config) { c.Sampling.RequestTimeout = config.Duration(time.Second) }, fault: completions(openaitest.Fault{Kind: openaitest.FaultHang, Times: -1}),
			wants: []string{"is out for ", "no complete answer within 1s: the server is overloaded, paused or hung; look at its log or raise the limit"}},
		{name: "hangs, and the step may not take so long", config: func(c *config.Config) { c.Sampling.StepTimeout = config.Duration(3 * time.Second) }, fault: completions(openaitest.Fault{Kind: openaitest.FaultHang, Times: 1}),
			wants: []string{"step 1: sampling took longer than sampling.step_timeout (3s): ", " of 4 rollouts are missing: URL has ", " unanswered, the oldest for 3", "raise sampling.step_timeout"}},
		{name: "gone", fault: func(_ *testing.T, b *bad) { b.first().Close() },
			// One that was just being answered is told of as the connection's end.
			wants: []string{"is out for ", "URL", "start the server|the server closed the connection"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := honest()
			if c.options != nil {
				c.options(&o)
			}
			b := against(t, max(c.servers, 1), o)
			if c.config != nil {
				c.config(&b.cfg)
			}
			if c.early {
				c.fault(t, b)
			}
			err := b.train(t, o, func(step int, phase string) {
				if step == 1 && phase == "sample" && c.fault != nil && !c.early {
					c.fault(t, b)
				}
			})
			url := func(words string) string { return strings.ReplaceAll(words, "URL", b.first().URL) }
			if (err == nil) != (len(c.wants) == 0) {
				t.Fatalf("error %v\n%s", err, b.said)
			}
			for _, words := range c.wants {
				if !slices.ContainsFunc(strings.Split(words, "|"), func(w string) bool { return strings.Contains(err.Error(), url(w)) }) {
					t.Errorf("%q does not say %q", err, url(words))
				}
			}
			if err != nil && (exitCode(t.Context(), err) != ExitServer || strings.Contains(err.Error(), "\n")) {
				t.Errorf("exit code %d, %q; want %d and one line", exitCode(t.Context(), err), err, ExitServer)
			}
			for _, words := range c.said {
				if !strings.Contains(b.said, url(words)) {
					t.Errorf("%q is not in what was said:\n%s", url(words), b.said)
				}
			}
		})
	}
}

// whole has a row's rollouts asked for in one request.
func whole(c *config.Config) { c.Sampling.Concurrency = 1 }
