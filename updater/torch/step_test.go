//go:build torch

package torch

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/justrl/justrl/updater"
)

// The gradient and the figures of a mini-batch do not depend on how it is
// packed: 1, 3 or 17 packs differ by what float32 sums in another order differ.
func TestPackingChangesNothing(t *testing.T) {
	const bound = 5e-7 // of the gradient's length; a float32 has 1.2e-7 between neighbours
	worst := 0.0
	for _, aggregation := range aggregations {
		if aggregation == updater.TokenMeanVerl {
			continue // which is of its micro-batches by definition
		}
		for _, name := range fixtures {
			t.Run(name+"/"+aggregation, func(t *testing.T) {
				trainer := openTrainer(t, filepath.Join("testdata", name), serverOld, func(o *Options) { o.Update.Aggregation = aggregation })
				groups := fixtureBatch(t, name)
				for _, g := range fixtureBatch(t, name) { // 24 rollouts in all
					g.Ordinal += 10
					groups = append(groups, g)
				}
				mini := trainer.samples(t, groups)
				one := trainer.gradientOf(t, mini, [][]int{upTo(len(mini))})
				want := trainer.gradients(t)
				for _, n := range []int{3, 17} {
					many := trainer.gradientOf(t, mini, dealt(len(mini), n))
					if one.Packs != 1 || many.Packs != n {
						t.Fatalf("%d and %d packs, want 1 and %d", one.Packs, many.Packs, n)
					}
					for _, c := range [][2]float64{{one.PGLoss, many.PGLoss}, {one.Entropy, many.Entropy}, {one.GradNorm, many.GradNorm}, {one.PPOKL, many.PPOKL}} {
						if relative(c[1], c[0]) > 2e-6 {
							t.Errorf("%+v in one pack, %+v in %d", one, many, n)
							break
						}
					}
					got := trainer.gradients(t)
					off := distance(got, want) / distance(want, make([]float32, len(want)))
					if worst = max(worst, off); !(off <= bound*slack()) {
						t.Errorf("the gradient of %d packs is %.3g of its length beside that of one", n, off)
					}
				}
			})
		}
	}
	t.Logf("farthest: %.3g of the gradient's length", worst)
}

// dealt deals n samples, the last first, to packs in turn.
func dealt(n, packs int) [][]int {
	out := make([][]int, packs)
	for i := range n {
		out[i%packs] = append(out[i%packs], n-1-i)
	}
	return out
}

// gradients are those of all parameters, one after another.
func (t *Trainer) gradients(tb testing.TB) (all []float32) {
	tb.Helper()
	for _, p := range t.net.params {
		all = append(all, t.host(tb, p.grad, p.elements())...)
	}
	return all
}

// Nor on how many rows of logits are there at a time, though responses are cut by them.
func TestChunksOfTheHeadChangeNothing(t *testing.T) {
	for _, ratio := range []string{updater.RatioToken, updater.RatioSequence} {
		trainer := openTrainer(t, filepath.Join("testdata", "qwen2_untied"), serverOld, func(o *Options) {
			o.Update.Ratio, o.Update.EntropyCoef = ratio, 0.01
		})
		mini := trainer.samples(t, fixtureBatch(t, "qwen2_untied"))
		var want updater.UpdateMetrics
		var grads [][]float32
		for _, rows := range []int{1 << 20, 7, 1} {
			trainer.net.rows = rows
			got := trainer.gradientOf(t, mini, [][]int{upTo(len(mini))})
			var all [][]float32
			for _, p := range trainer.net.params {
				all = append(all, trainer.host(t, p.grad, p.elements()))
			}
			if grads == nil {
				want, grads = got, all
				continue
			}
			for _, c := range [][2]float64{{want.PGLoss, got.PGLoss}, {want.Entropy, got.Entropy}, {want.GradNorm, got.GradNorm}, {want.PPOKL, got.PPOKL}, {want.EntropyLoss, got.EntropyLoss}} {
				if relative(c[1], c[0]) > 2e-6 {
					t.Errorf("%s, %d rows: %+v, and in one chunk %+v", ratio, rows, got, want)
					break
				}
			}
			for i, p := range trainer.net.params {
				if d := farthest(t, all[i], grads[i]); !(d < 5e-7) {
					t.Errorf("%s, %d rows: gradient of %s differs by %.3g", ratio, rows, p.name, d)
				}
			}
		}
	}
}

// A sequence cannot see its neighbour in the pack: to the last bit, nothing
// changes when every token of the neighbour does.
func TestNeighboursDoNotTouch(t *testing.T) {
	ctx := context.Background()
	for _, name := range fixtures {
		t.Run(name, func(t *testing.T) {
			trainer := openTrainer(t, filepath.Join("testdata", name))
			seq := func(n, by int32) []int32 {
				s := make([]int32, n)
				for i := range s {
					s[i] = (int32(i)*by + 3) % 96
				}
				return s
			}
			for _, place := range []int{0, 1, 2} {
				score := func(by int32) []updater.Scores {
					seqs := [][]int32{seq(40, by), seq(31, by), seq(17, by)}
					seqs[place] = seq(int32(len(seqs[place])), 7)
					got, err := trainer.Score(ctx, seqs, 1)
					if err != nil {
						t.Fatal(err)
					}
					return got
				}
				a, b := score(5), score(11)
				if !slices.Equal(a[place].Logprobs, b[place].Logprobs) || !slices.Equal(a[place].Entropy, b[place].Entropy) {
					t.Errorf("sequence %d of 3 changed with its neighbours", place)
				}
				if other := (place + 1) % 3; slices.Equal(a[other].Logprobs, b[other].Logprobs) {
					t.Error("the neighbours did not change: the test shows nothing")
				}
			}
		})
	}
}

func TestRecomputeChangesNothing(t *testing.T) {
	onCPU(t)
	for _, name := range fixtures {
		t.Run(name, func(t *testing.T) {
			var results []updater.StepResult
			var sums []string
			for _, recompute := range []bool{false, true} {
				trainer := openTrainer(t, filepath.Join("testdata", name), serverOld, func(o *Options) {
					o.Update.Recompute, o.Optimizer.LR, o.Update.MaxPackTokens, o.Update.MiniBatch = recompute, 1e-3, 64, 2
				})
				result, err := trainer.Step(context.Background(), 0, fixtureBatch(t, name), nil)
				if err != nil {
					t.Fatal(err)
				}
				results, sums = append(results, result), append(sums, sum(t, trainer))
			}
			if !equalJSON(t, results[0], results[1]) || sums[0] != sums[1] {
				t.Errorf("without recomputation %+v %s\nwith it %+v %s", results[0], sums[0], results[1], sums[1])
			}
		})
	}
}

// With recomputed old log-probs the ratios of the first mini-batch are 1, and
// those of later ones are taken against the weights before the first update.
func TestOldLogprobsAreThoseBeforeTheFirstUpdate(t *testing.T) {
	ctx, dir := context.Background(), filepath.Join("testdata", "qwen2_untied")
	groups := fixtureBatch(t, "qwen2_untied")
	var seqs [][]int32
	for _, g := range groups {
		for _, r := range g.Rollouts {
			seqs = append(seqs, slices.Concat(r.PromptTokenIDs, r.TokenIDs))
		}
	}
	recompute := openTrainer(t, dir, func(o *Options) { o.Update.MiniBatch, o.Update.Epochs, o.Optimizer.LR = 1, 2, 1e-3 })
	scores, err := recompute.Score(ctx, seqs, 1)
	if err != nil {
		t.Fatal(err)
	}
	given := make([]updater.Group, len(groups))
	i := 0
	for g := range groups {
		given[g] = updater.Group{Ordinal: groups[g].Ordinal, Rollouts: slices.Clone(groups[g].Rollouts)}
		for r := range given[g].Rollouts {
			given[g].Rollouts[r].Logprobs = scores[i].Logprobs[len(groups[g].Rollouts[r].PromptTokenIDs)-1:]
			i++
		}
	}
	server := openTrainer(t, dir, serverOld, func(o *Options) { o.Update.MiniBatch, o.Update.Epochs, o.Optimizer.LR = 1, 2, 1e-3 })
	a, err := recompute.Step(ctx, 0, groups, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := server.Step(ctx, 0, given, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Updates) != 6 || len(b.Updates) != 6 {
		t.Fatalf("%d and %d updates, want 6", len(a.Updates), len(b.Updates))
	}
	if a.Updates[0].PPOKL != 0 || a.Updates[0].PGClipFrac != 0 {
		t.Errorf("the first update's ratios are not 1: %+v", a.Updates[0])
	}
	for i := range a.Updates {
		if math.Abs(a.Updates[i].PPOKL-b.Updates[i].PPOKL) > 2e-6 || relative(a.Updates[i].GradNorm, b.Updates[i].GradNorm) > 1e-3 {
			t.Errorf("update %d: recomputed %+v, given %+v", i, a.Updates[i], b.Updates[i])
		}
	}
	if a.Updates[5].PPOKL == 0 {
		t.Error("the last update's ratios are 1: the old log-probs are not the first")
	}
	if n := a.Mismatch.Tokens; n != 183 {
		t.Errorf("mismatch over %d tokens, want all 183", n)
	}
	if n := b.Mismatch.Tokens; n == 0 || n >= 183 || b.Mismatch.RatioMax > 1+1e-4 {
		t.Errorf("mismatch of the first mini-batch: %+v", b.Mismatch)
	}
}

// The order in which groups arrive decides nothing: weights are equal to the
// last bit, over several mini-batches of several packs.
func TestGroupsAreTakenByOrdinal(t *testing.T) {
	onCPU(t)
	for _, name := range fixtures {
		t.Run(name, func(t *testing.T) {
			groups := fixtureBatch(t, name)
			for _, g := range fixtureBatch(t, name)[:2] {
				g.Ordinal += 10
				groups = append(groups, g)
			}
			sums := map[string]bool{}
			rng := rand.New(rand.NewPCG(1, 2))
			for range 4 {
				trainer := openTrainer(t, filepath.Join("testdata", name), func(o *Options) {
					o.Update.MiniBatch, o.Update.MaxPackTokens, o.Optimizer.LR = 2, 64, 1e-3
				})
				if _, err := trainer.Step(context.Background(), 0, groups, nil); err != nil {
					t.Fatal(err)
				}
				sums[sum(t, trainer)] = true
				rng.Shuffle(len(groups), func(i, j int) { groups[i], groups[j] = groups[j], groups[i] })
			}
			if len(sums) != 1 {
				t.Errorf("%d different weights from 4 orders of the groups", len(sums))
			}
		})
	}
}

func TestStepRefuses(t *testing.T) {
	one := func(edit func(*updater.Rollout)) []updater.Group {
		r := updater.Rollout{PromptTokenIDs: []int32{1, 2}, TokenIDs: []int32{3, 4}, Logprobs: []float32{-1, -2}, Reward: 1}
		edit(&r)
		return []updater.Group{{Ordinal: 9, Rollouts: []updater.Rollout{{PromptTokenIDs: []int32{1}, TokenIDs: []int32{1}, Logprobs: []float32{-1}}, r}}}
	}
	twice := func(g []updater.Group) []updater.Group { return append(g, g[0]) }
	for _, c := range []struct {
		name   string
		groups []updater.Group
		want   []string
	}{
		{"nothing", nil, []string{"without groups"}},
		{"an empty group", []updater.Group{{Ordinal: 4}}, []string{"group 4"}},
		{"an ordinal twice", twice(one(func(*updater.Rollout) {})), []string{"ordinal 9"}},
		{"an empty prompt", one(func(r *updater.Rollout) { r.PromptTokenIDs = nil }), []string{"group 9", "rollout 1", "prompt is empty"}},
		{"an empty response", one(func(r *updater.Rollout) { r.TokenIDs, r.Logprobs = nil, nil }), []string{"group 9", "rollout 1", "response is empty"}},
		{"an id above the vocabulary", one(func(r *updater.Rollout) { r.TokenIDs[1] = 96 }), []string{"group 9", "rollout 1", "response", "96", "position 1"}},
		{"a negative id", one(func(r *updater.Rollout) { r.PromptTokenIDs[0] = -1 }), []string{"group 9", "rollout 1", "prompt", "-1", "position 0", "96"}},
		{"too few log-probs", one(func(r *updater.Rollout) { r.Logprobs = r.Logprobs[:1] }), []string{"rollout 1", "1 log-probs for 2"}},
		{"no log-probs", one(func(r *updater.Rollout) { r.Logprobs = nil }), []string{"rollout 1", "no log-probs"}},
		{"a reward that is no number", one(func(r *updater.Rollout) { r.Reward = math.NaN() }), []string{"rollout 1", "reward", "NaN"}},
		{"a log-prob that is no number", one(func(r *updater.Rollout) { r.Logprobs[1] = float32(math.NaN()) }), []string{"update 0", "response 1", "token 1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			trainer := openTrainer(t, filepath.Join("testdata", "qwen2_tied"), serverOld)
			before := sum(t, trainer)
			_, err := trainer.Step(context.Background(), 0, c.groups, nil)
			if err == nil {
				t.Fatal("no error")
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
			if sum(t, trainer) != before {
				t.Error("the weights changed")
			}
		})
	}
}

// An update whose gradient is not finite says so and leaves the weights and
// moments alone; the trainer goes on.
func TestGradientThatIsNotFinite(t *testing.T) {
	ctx := context.Background()
	trainer := openTrainer(t, filepath.Join("testdata", "llama3_scaled"), serverOld)
	groups := fixtureBatch(t, "llama3_scaled")
	good := sum(t, trainer)
	norm := trainer.net.norm
	poison := func(x float32) {
		err := trainer.worker.do(func() error {
			s := newScope(trainer.counter)
			defer s.close()
			v := make([]float32, 32)
			for i := range v {
				v[i] = x
			}
			s.copyTo(norm.value, s.floats(v, -1))
			return s.err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	poison(float32(math.Inf(1)))
	bad := sum(t, trainer)
	_, err := trainer.Step(ctx, 3, groups, nil)
	if err == nil || !strings.Contains(err.Error(), "step 3, update 0") {
		t.Fatalf("error %v, want one that names the update", err)
	}
	if sum(t, trainer) != bad || trainer.updates != 0 {
		t.Error("a weight changed")
	}
	if bad == good {
		t.Error("the test poisoned nothing")
	}
	poison(1)
	if _, err := trainer.Step(ctx, 3, groups, nil); err != nil {
		t.Errorf("the next step failed: %v", err)
	}
}

// The gate sees the whole batch's mismatch before a weight changes, and can call the step off.
func TestGate(t *testing.T) {
	ctx := context.Background()
	trainer := openTrainer(t, filepath.Join("testdata", "qwen2_tied"), func(o *Options) { o.Update.MiniBatch = 1 })
	groups := fixtureBatch(t, "qwen2_tied")
	tokens := 0
	for _, g := range groups {
		for _, r := range g.Rollouts {
			tokens += len(r.Logprobs)
		}
	}
	before, no := sum(t, trainer), errors.New("no")
	calls := 0
	gate := func(m updater.Mismatch) error {
		calls++
		if m.Tokens != tokens {
			t.Errorf("the gate saw %d tokens of %d", m.Tokens, tokens)
		}
		return no
	}
	if _, err := trainer.Step(ctx, 3, groups, gate); !errors.Is(err, no) {
		t.Errorf("error %v, want the gate's", err)
	}
	if sum(t, trainer) != before || trainer.updates != 0 {
		t.Error("a step that was called off changed the weights")
	}
	no = nil // this time it lets the step pass
	if _, err := trainer.Step(ctx, 3, groups, gate); err != nil || calls != 2 {
		t.Errorf("error %v after %d calls of the gate, want one a step", err, calls)
	}
	if sum(t, trainer) == before {
		t.Error("a step that passed the gate changed nothing")
	}
}

func TestCancelledStep(t *testing.T) {
	trainer := openTrainer(t, filepath.Join("testdata", "qwen2_tied"))
	before := sum(t, trainer)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := trainer.Step(ctx, 0, fixtureBatch(t, "qwen2_tied"), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
	if _, err := trainer.Score(ctx, [][]int32{{1, 2}}, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
	if sum(t, trainer) != before {
		t.Error("the weights changed")
	}
}

// In bfloat16 the log-probs are no further from the exact ones than those of
// transformers in bfloat16 are: the same roundings, but for where they fall.
func TestBFloat16IsAsTransformers(t *testing.T) {
	for _, name := range fixtures {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join("testdata", name)
			ref, _ := readReference(t, dir)
			trainer := openTrainer(t, dir, func(o *Options) { o.DType = "bfloat16" })
			var ours, theirs, n float64
			for temperature := range byTemperature(ref) {
				got, _, want := trainer.scoresOf(t, ref, temperature)
				for i, f := range want {
					for j, exact := range f.Logprobs {
						ours += math.Abs(float64(got[i][j]) - exact)
						theirs += math.Abs(f.BFloat16[j] - exact)
						n++
					}
				}
			}
			t.Logf("mean error: %.4f nats, transformers' %.4f", ours/n, theirs/n)
			if !(ours <= 1.3*theirs) || ours == 0 || n < 300 {
				t.Errorf("mean error %g nats over %g tokens, transformers' %g", ours/n, n, theirs/n)
			}
		})
	}
}

// The masters keep what bfloat16 cannot: a step too small for any weight of
// bfloat16 still moves them, and the weights are the masters rounded.
func TestBFloat16KeepsFloat32Masters(t *testing.T) {
	trainer := openTrainer(t, filepath.Join("testdata", "qwen3_bf16"), serverOld, func(o *Options) { o.DType, o.Optimizer.LR = "bfloat16", 1e-6 })
	before := trainer.weights(t)
	if _, err := trainer.Step(context.Background(), 0, fixtureBatch(t, "qwen3_bf16"), nil); err != nil {
		t.Fatal(err)
	}
	for _, p := range trainer.net.params {
		master, value := trainer.host(t, p.master, p.elements()), trainer.host(t, p.value, p.elements())
		if slices.Equal(master, before[p.name]) {
			t.Errorf("the masters of %s did not move", p.name)
		}
		for i, m := range master {
			if rounded := roundBFloat16(m); value[i] != rounded {
				t.Errorf("%s[%d] is %g, its master %g rounds to %g", p.name, i, value[i], m, rounded)
				break
			}
		}
	}
}

// roundBFloat16 rounds to the nearest number of 8 significant bits, to even between two.
func roundBFloat16(x float32) float32 {
	bits := math.Float32bits(x)
	bits += 0x7fff + bits>>16&1
	return math.Float32frombits(bits &^ 0xffff)
}

// bfloat16 has 8 bits: scores agree to a few hundredths of a nat, and an
// update of the float32 masters goes the same way.
func TestBFloat16IsNearFloat32(t *testing.T) {
	ctx := context.Background()
	for _, name := range fixtures {
		t.Run(name, func(t *testing.T) {
			edit := func(dtype string) func(*Options) {
				return func(o *Options) { o.DType, o.Optimizer.LR, o.Optimizer.WeightDecay = dtype, 1e-3, 0 }
			}
			dir := filepath.Join("testdata", name)
			full, half := openTrainer(t, dir, serverOld, edit("float32")), openTrainer(t, dir, serverOld, edit("bfloat16"))
			seqs := [][]int32{{5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}}
			a, err := full.Score(ctx, seqs, 1)
			if err != nil {
				t.Fatal(err)
			}
			b, err := half.Score(ctx, seqs, 1)
			if err != nil {
				t.Fatal(err)
			}
			if d := farthest(t, b[0].Logprobs, a[0].Logprobs); d > 0.2 || d == 0 {
				t.Errorf("log-probs differ by %g", d)
			}
			before := full.weights(t)
			groups := fixtureBatch(t, name)
			x, err := full.Step(ctx, 0, groups, nil)
			if err != nil {
				t.Fatal(err)
			}
			y, err := half.Step(ctx, 0, groups, nil)
			if err != nil {
				t.Fatal(err)
			}
			if relative(y.Updates[0].GradNorm, x.Updates[0].GradNorm) > 0.05 {
				t.Errorf("gradient norms %g and %g", y.Updates[0].GradNorm, x.Updates[0].GradNorm)
			}
			dot, na, nb := 0.0, 0.0, 0.0
			u, v := full.weights(t), half.weights(t)
			for name, start := range before {
				for i := range start {
					p, q := float64(u[name][i]-start[i]), float64(v[name][i]-start[i])
					dot, na, nb = dot+p*q, na+p*p, nb+q*q
				}
			}
			if cosine := dot / math.Sqrt(na*nb); cosine < 0.9 {
				t.Errorf("the updates' directions have cosine %.3f", cosine)
			}
		})
	}
}

// 200 updates leave no tensor behind and no memory.
func TestNothingLeaks(t *testing.T) {
	ctx := context.Background()
	trainer := openTrainer(t, filepath.Join("testdata", "llama3_scaled"), func(o *Options) { o.Update.MiniBatch = 1 })
	groups := fixtureBatch(t, "llama3_scaled")
	step := func(n int) {
		for i := range n {
			trainer.opt.Update.Recompute = i%2 == 0
			if _, err := trainer.Step(ctx, 1, groups, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	step(10)
	live, rss := trainer.counter.live.Load(), residentKB(t)
	step(57) // three updates each
	if trainer.updates != 201 {
		t.Errorf("%d updates", trainer.updates)
	}
	if now := trainer.counter.live.Load(); now != live {
		t.Errorf("%d tensors alive after 30 updates, %d after 201", live, now)
	}
	if grown := residentKB(t) - rss; grown > 16<<10 {
		t.Errorf("resident memory grew by %d kB over 171 updates", grown)
	}
}

func residentKB(t *testing.T) int { return statusKB(t, "VmRSS") }

// statusKB is a field of /proc/self/status.
func statusKB(t *testing.T, field string) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skipf("SKIPPED: no /proc here: %v", err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			n, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no %s in /proc/self/status", field)
	return 0
}

// Supervised updates teach a fresh model a fixed text.
func TestSuperviseLearns(t *testing.T) {
	ctx := context.Background()
	trainer := openTrainer(t, filepath.Join("testdata", "qwen2_tied"), func(o *Options) { o.Optimizer.WeightDecay = 0 })
	seqs := []updater.Rollout{
		{PromptTokenIDs: []int32{1, 2, 3}, TokenIDs: []int32{10, 20, 30, 40}},
		{PromptTokenIDs: []int32{4}, TokenIDs: []int32{50, 60}},
	}
	var want float64
	for _, r := range seqs {
		s, err := trainer.Score(ctx, [][]int32{slices.Concat(r.PromptTokenIDs, r.TokenIDs)}, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range s[0].Logprobs[len(r.PromptTokenIDs)-1:] {
			want -= float64(l) / 6
		}
	}
	first, err := trainer.Supervise(ctx, seqs, 1e-2)
	if err != nil || relative(first, want) > 1e-5 {
		t.Errorf("the first loss is %g, want %g (%v)", first, want, err)
	}
	var last float64
	for range 60 {
		if last, err = trainer.Supervise(ctx, seqs, 1e-2); err != nil {
			t.Fatal(err)
		}
	}
	if !(last < 0.05) {
		t.Errorf("the loss went from %g to %g only", first, last)
	}
}
