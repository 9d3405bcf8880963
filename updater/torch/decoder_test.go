//go:build torch

package torch

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/updater/engine"
	"github.com/justrl/justrl/updater/model"
)

// openEngine starts an engine over a model folder; all is closed when the test ends.
func openEngine(t testing.TB, dir string, o engine.Options, edit ...func(*DecoderOptions)) *engine.Engine {
	t.Helper()
	do := DecoderOptions{Dir: dir, MaxLen: o.MaxLen, MaxRows: max(o.MaxRows, o.MaxSequences, engine.DefaultMaxRows), CacheBytes: 64 << 20, Threads: 2}
	for _, e := range edit {
		e(&do)
	}
	d, err := OpenDecoder(do)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close the decoder: %v", err)
		}
		if n := d.counter.live.Load(); n != 0 {
			t.Errorf("%d tensors are alive after Close", n)
		}
	})
	o.MaxLen = d.MaxLen()
	e, err := engine.New(d, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("close the engine: %v", err)
		}
	})
	return e
}

// engineScores are an engine's log-probs of a sequence.
func engineScores(t *testing.T, e *engine.Engine, ids []int32) []float64 {
	t.Helper()
	tokens, err := e.Score(t.Context(), ids, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []float64
	for _, tok := range tokens {
		out = append(out, tok.Logprob)
	}
	return out
}

// TestEngineScores: the engine's log-probs are transformers'.
func TestEngineScores(t *testing.T) {
	for _, name := range fixtures {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join("testdata", name)
			var ref reference
			readJSON(t, filepath.Join(dir, "reference.json"), &ref)
			e := openEngine(t, dir, engine.Options{})
			checked := 0
			for _, f := range ref.Forward {
				if f.Temperature != 1 {
					continue
				}
				checked++
				got := engineScores(t, e, slices.Concat(f.PromptTokenIDs, f.TokenIDs))[len(f.PromptTokenIDs)-1:]
				if far := farthest(t, got, f.Logprobs); !(far < 1e-5) {
					t.Errorf("log-probs are off by %.3g", far)
				}
			}
			if checked == 0 {
				t.Error("nothing was compared")
			}
		})
	}
}

func TestKitEngineScores(t *testing.T) {
	for _, name := range kitModels {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(kit(t, "kit3"), name)
			ref := openTensors(t, filepath.Join(dir, "reference.safetensors"))
			ids, offsets := values[int32](t, ref, "fwd.input_ids"), values[int32](t, ref, "fwd.cu_seqlens")
			e := openEngine(t, dir, engine.Options{})
			f32, f64 := values[float32](t, ref, "fwd.logprob_next_f32_T1.0"), values[float64](t, ref, "fwd.logprob_next_f64_T1.0")
			n, far32, far64 := 0, 0.0, 0.0
			for i := range len(offsets) - 1 {
				from, to := offsets[i], offsets[i+1]-1
				got := engineScores(t, e, ids[from:to+1])
				far32, far64 = max(far32, farthest(t, got, f32[from:to])), max(far64, farthest(t, got, f64[from:to]))
				n += len(got)
			}
			t.Logf("%d log-probs: at most %.2g from transformers in float32, %.2g from it in float64", n, far32, far64)
			if !(far32 < 1e-5 && far64 < 1e-5) {
				t.Error("that is too far")
			}
		})
	}
}

func sampleRequest(i, vocab int) engine.Request {
	rng := rand.New(rand.NewPCG(3, uint64(i)))
	q := engine.Request{N: 1 + rng.IntN(4), Seed: rng.Int64N(1 << 40), Temperature: 1, TopP: 1, TopK: -1, MaxTokens: 1 + rng.IntN(40), RepetitionPenalty: 1, IgnoreEOS: true}
	for range 1 + rng.IntN(40) {
		q.Prompt = append(q.Prompt, rng.Int32N(int32(vocab)))
	}
	return q
}

// TestEngineIsBatchInvariant: to the last bit, a sample is the same whatever
// the engine's sizes, its memory, its threads and its company; and it is what
// scoring the whole sequence afresh gives.
func TestEngineIsBatchInvariant(t *testing.T) {
	const requests = 40
	for _, name := range fixtures {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join("testdata", name)
			run := func(o engine.Options, edit ...func(*DecoderOptions)) [][]engine.Sample {
				t.Helper()
				o.MaxLen = 96
				e := openEngine(t, dir, o, edit...)
				out := make([][]engine.Sample, requests)
				var g errgroup.Group
				for i := range requests {
					g.Go(func() (err error) {
						out[i], err = e.Generate(t.Context(), sampleRequest(i, 60))
						return err
					})
				}
				if err := g.Wait(); err != nil {
					t.Fatal(err)
				}
				return out
			}
			want := run(engine.Options{MaxSequences: 1, MaxRows: 1}, func(o *DecoderOptions) { o.Threads = 1 })
			for _, c := range []struct {
				name  string
				o     engine.Options
				scant bool
			}{
				{"many at once", engine.Options{MaxSequences: 100}, false},
				{"seven at once", engine.Options{MaxSequences: 7, MaxRows: 11}, false},
				{"little memory", engine.Options{MaxSequences: 50}, true},
			} {
				got := run(c.o, func(o *DecoderOptions) {
					if c.scant {
						spec := loadSpec(t, dir)
						o.CacheBytes = int64(20 * spec.Layers * 2 * 4 * spec.KVHeads * spec.HeadDim * engine.BlockTokens)
					}
				})
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s (-one at a time +):\n%.2000s", c.name, diff)
				}
			}
			e := openEngine(t, dir, engine.Options{})
			for i, samples := range want[:10] {
				prompt := sampleRequest(i, 60).Prompt
				for _, s := range samples {
					ids := slices.Clone(prompt)
					for _, tok := range s.Tokens {
						ids = append(ids, tok.ID)
					}
					for k, lp := range engineScores(t, e, ids)[len(prompt)-1:] {
						if lp != s.Tokens[k].Logprob {
							t.Fatalf("request %d, token %d: drawn with log-prob %v, scored %v", i, k, s.Tokens[k].Logprob, lp)
						}
					}
				}
			}
		})
	}
}

// TestDraw holds the fast way of drawing to the definition.
func TestDraw(t *testing.T) {
	const vocab = 301
	d := &Decoder{worker: startWorker(), counter: &counter{}}
	d.spec.Vocab = vocab
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	rng := rand.New(rand.NewPCG(1, 2))
	var b engine.Batch
	var draws, want []engine.Draw
	for i := range 4000 {
		row := make([]float32, vocab)
		for v := range row {
			row[v] = float32(rng.NormFloat64() * 3)
		}
		row[rng.IntN(vocab)] = row[0] // ties
		q := engine.Draw{Row: i, Adjusted: -1, Temperature: 1, TopP: 1, TopK: -1, Uniform: rng.Float64()}
		switch i % 8 {
		case 1:
			q.Temperature = 0
		case 2:
			q.Temperature = 0.3
		case 3:
			q.TopK = 1 + rng.IntN(20)
		case 4:
			q.TopP = rng.Float64()
		case 5:
			q.MinP = rng.Float64() * 0.5
		case 6:
			q.TopP, q.TopK, q.MinP, q.Temperature = 0.9, 40, 0.01, 2
		case 7:
			q.Given, q.ID = true, rng.Int32N(vocab)
		}
		q.Processed = i%5 == 0
		from := row
		if i%3 == 0 {
			q.Adjusted = len(b.Adjusted) / vocab
			from = slices.Clone(row)
			for range vocab / 2 {
				from[rng.IntN(vocab)] = float32(math.Inf(-1))
			}
			b.Adjusted = append(b.Adjusted, from...)
		}
		b.Logits = append(b.Logits, row...)
		w := q
		w.Decide(row, from)
		draws, want = append(draws, q), append(want, w)
	}
	d.Draw(&b, draws)
	other := 0
	for i, got := range draws {
		if w := want[i]; got.ID != w.ID {
			other++ // on the border between two tokens, within rounding
			w.ID, w.Given, w.Processed = got.ID, true, false
			row := b.Logits[i*vocab : (i+1)*vocab]
			w.Decide(row, row)
			if want[i] = w; draws[i].Processed {
				continue
			}
		}
		if far := math.Abs(got.Logprob - want[i].Logprob); !(far < 2e-6) || got.Rank != want[i].Rank {
			t.Errorf("draw %d: log-prob %v and rank %d, want %v and %d", i, got.Logprob, got.Rank, want[i].Logprob, want[i].Rank)
		}
	}
	if other > 4 {
		t.Errorf("%d of %d draws are other tokens than the definition's", other, len(draws))
	}
}

// TestDrawFrequencies: drawing follows the distribution (χ² over 30 tokens).
func TestDrawFrequencies(t *testing.T) {
	e := openEngine(t, filepath.Join("testdata", "qwen2_tied"), engine.Options{MaxLen: 32})
	const n = 20000
	q := engine.Request{Prompt: []int32{5, 6, 7}, N: n, Seed: 1, Temperature: 1, TopP: 1, TopK: -1, MaxTokens: 1, RepetitionPenalty: 1}
	samples, err := e.Generate(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	count, p := map[int32]float64{}, map[int32]float64{}
	for _, s := range samples {
		count[s.Tokens[0].ID]++
		p[s.Tokens[0].ID] = math.Exp(s.Tokens[0].Logprob)
	}
	chi, cells, rest, restP := 0.0, 0, 0.0, 1.0
	for id, c := range count {
		if expected := n * p[id]; expected >= 20 {
			chi += (c - expected) * (c - expected) / expected
			cells++
			restP -= p[id]
			continue
		}
		rest += c
	}
	if expected := n * restP; expected >= 20 {
		chi += (rest - expected) * (rest - expected) / expected
	}
	// Mean cells, deviation √(2·cells): 5 deviations.
	if limit := float64(cells) + 5*math.Sqrt(2*float64(cells)); chi > limit || cells < 5 {
		t.Errorf("χ² is %.1f over %d cells, limit %.1f", chi, cells, limit)
	}
}

func TestDecoderRefuses(t *testing.T) {
	dir := filepath.Join("testdata", "qwen2_tied")
	for name, edit := range map[string]func(*DecoderOptions){
		"no folder":         func(o *DecoderOptions) { o.Dir = t.TempDir() },
		"a context too far": func(o *DecoderOptions) { o.MaxLen = 1 << 30 },
		"no cache":          func(o *DecoderOptions) { o.CacheBytes = 1000 },
	} {
		o := DecoderOptions{Dir: dir, MaxRows: 8, CacheBytes: 64 << 20, Threads: 1}
		edit(&o)
		if d, err := OpenDecoder(o); err == nil {
			t.Errorf("%s: no error", name)
			_ = d.Close()
		}
	}
}

// TestDecoderLoad: other weights give other log-probs, the first ones the first
// again; a folder of another model changes nothing.
func TestDecoderLoad(t *testing.T) {
	dir := filepath.Join("testdata", "qwen2_tied")
	other := t.TempDir()
	if err := Init(other, loadSpec(t, dir), 9); err != nil {
		t.Fatal(err)
	}
	e := openEngine(t, dir, engine.Options{})
	ids := []int32{1, 2, 3, 4, 5, 6, 7}
	first := engineScores(t, e, ids)
	sums, err := e.Checksums(t.Context())
	if err != nil || len(sums) == 0 {
		t.Fatalf("%d checksums, %v", len(sums), err)
	}
	if err := e.Load(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if slices.Equal(first, engineScores(t, e, ids)) {
		t.Error("other weights give the same log-probs")
	}
	if err := e.Load(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{t.TempDir(), filepath.Join("testdata", "qwen3_qknorm")} {
		if err := e.Load(t.Context(), bad); err == nil {
			t.Errorf("loaded %s", bad)
		}
	}
	again, err := e.Checksums(t.Context())
	if err != nil || !cmp.Equal(sums, again) || !slices.Equal(first, engineScores(t, e, ids)) {
		t.Errorf("the first weights again: %v, equal checksums %t, log-probs %v, at first %v", err, cmp.Equal(sums, again), engineScores(t, e, ids), first)
	}
}

func loadSpec(t *testing.T, dir string) model.Spec {
	t.Helper()
	spec, err := model.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return spec
}
