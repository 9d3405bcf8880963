package monitor

import (
	"math"
	"math/rand/v2"

	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/updater"
)

// run is what a synthetic run is made of: rows of differing difficulty whose
// answers are drawn one by one, so that its noise is that of sampling, and
// figures around them in the shape that recorded runs have (docs/measurements.md,
// testdata).
type run struct {
	config         config.Config
	steps          int
	first, last    float64 // mean share of right answers
	over           float64 // steps in which most of that is learnt
	entropy        float64 // at first, nats
	entropyFollows float64 // power of the share of wrong answers that it falls with
	lengths        [2]float64
	lengthNoise    float64
	clip           [2]float64
	k3             float64
	unscored       float64
	disagree       float64
	reasons        [2]float64 // share of boxed answers with a reasoning
	spread         float64    // of the rows' difficulty, logits
	wander         float64    // of the policy from a smooth curve, logits a step
}

// small is the demonstration made longer: from a quarter to nearly all right, with
// answers that grow three times as long.
func small(c config.Config, steps int) run {
	return run{
		config: c, steps: steps, first: 0.05, last: 0.95, over: 12, entropy: 0.2, entropyFollows: 1,
		lengths: [2]float64{16, 48}, lengthNoise: 0.05, k3: 1e-13, reasons: [2]float64{0.1, 0.98}, spread: 1, wander: 0.03,
	}
}

// large is the paper's: hundreds of steps of 256 × 8, from long answers to shorter ones.
func large(c config.Config, steps int) run {
	return run{
		config: c, steps: steps, first: 0.2, last: 0.72, over: 300, entropy: 1.2, entropyFollows: 0.3,
		lengths: [2]float64{8000, 4500}, lengthNoise: 0.02, clip: [2]float64{0.2, 0.03}, k3: 3e-4, unscored: 0.002, disagree: 0.07,
		reasons: [2]float64{0.97, 0.99}, spread: 2, wander: 0.03,
	}
}

// told is a record of either kind.
type told struct {
	step  *journal.Step
	valid *journal.Validation
}

// records draws the run. change, if it is not nil, is what goes wrong in it.
func (r run) records(seed uint64, change func(*journal.Step, *journal.Validation)) []told {
	rng := rand.New(rand.NewPCG(seed, 7))
	var all []told
	wander := 0.0
	measure := func(done int, share float64) {
		v := journal.Validation{Steps: done, Accuracy: map[string]float64{}, Answers: map[string]int{}}
		for _, set := range []string{"a", "b"} {
			v.Accuracy[set], v.Answers[set] = binomial(rng, 200, share), 200
		}
		if change != nil {
			change(nil, &v)
		}
		all = append(all, told{valid: &v})
	}
	measure(0, r.first)
	s := r.config.Sampling
	for i := range r.steps {
		progress := 1 - math.Exp(-float64(i)/r.over)
		wander += -wander/30 + r.wander*rng.NormFloat64()
		share := sigmoid(logit(r.first) + (logit(r.last)-logit(r.first))*progress + wander)
		right, equal := 0, 0
		for range s.Batch {
			p, k := sigmoid(logit(share)*1.2+r.spread*rng.NormFloat64()), 0
			for range s.N {
				if rng.Float64() < p {
					k++
				}
			}
			if right += k; k == 0 || k == s.N {
				equal++
			}
		}
		n := s.Batch * s.N
		rec := journal.Step{Step: i, Correct: float64(right) / float64(n), EqualRows: float64(equal) / float64(s.Batch)}
		rec.ScoreMean = 2*rec.Correct - 1
		rec.Entropy = r.entropy * math.Pow((1-share)/(1-r.first), r.entropyFollows) * math.Exp(0.06*rng.NormFloat64())
		gone := min(max((share-r.first)/max(r.last-r.first, 0.3), 0), 1) // of the way
		rec.ResponseMean = (r.lengths[0] + (r.lengths[1]-r.lengths[0])*gone) * math.Exp(r.lengthNoise*rng.NormFloat64())
		rec.ResponseClip = binomial(rng, n, max(0, r.clip[0]+(r.clip[1]-r.clip[0])*gone))
		for range 4 {
			norm := 0.3 * math.Exp(0.4*rng.NormFloat64())
			if rng.Float64() < 0.05 {
				norm *= 3 // a batch in which one answer counts for much
			}
			rec.Updates = append(rec.Updates, updater.UpdateMetrics{GradNorm: norm})
		}
		rec.Mismatch = updater.Mismatch{Tokens: 1000, K3: r.k3 * math.Exp(0.5*rng.NormFloat64())}
		if r.unscored > 0 {
			rec.Unscored = &journal.Unscored{Errors: int(float64(n)*binomial(rng, n, r.unscored) + 0.5)}
		}
		rec.Texts = &journal.Texts{
			Boxed: binomial(rng, n, 0.95), NoReasoning: binomial(rng, n, 1-r.reasons[0]-(r.reasons[1]-r.reasons[0])*gone),
			BoxedOnly: binomial(rng, n, 0.01), ManyBoxes: binomial(rng, n, 0.03), OneAnswer: binomial(rng, n, 0.04), Looping: rec.ResponseClip / 2,
		}
		if r.disagree > 0 && due(r.config.Monitor.CompareEvery, i) {
			of := r.config.Monitor.CompareSample
			rec.Compared = &journal.Compared{Judged: of, OnlyOther: int(float64(of)*binomial(rng, of, r.disagree) + 0.5)}
		}
		if due(r.config.Monitor.RescoreEvery, i) {
			rec.Rescored = &journal.Rescored{Rescored: r.config.Monitor.RescoreSample}
		}
		if change != nil {
			change(&rec, nil)
		}
		all = append(all, told{step: &rec})
		if due(r.config.Validation.Every, i) {
			measure(i+1, share)
		}
	}
	return all
}

func due(every, step int) bool { return every > 0 && (step+1)%every == 0 }

// watched are the events of a run, as its monitor finds them.
func watched(c config.Config, all []told) (events []journal.Event) {
	m := New(c)
	for _, r := range all {
		if r.step != nil {
			events = append(events, m.Step(*r.step)...)
		} else {
			events = append(events, m.Validated(*r.valid)...)
		}
	}
	return events
}

func binomial(rng *rand.Rand, n int, p float64) float64 {
	p = min(max(p, 0), 1)
	if mean := float64(n) * p; mean > 20 && float64(n)-mean > 20 { // as good, and fast
		x := math.Round(mean + math.Sqrt(mean*(1-p))*rng.NormFloat64())
		return min(max(x, 0), float64(n)) / float64(n)
	}
	k := 0
	for range n {
		if rng.Float64() < p {
			k++
		}
	}
	return float64(k) / float64(n)
}

func logit(p float64) float64   { return math.Log(p / (1 - p)) }
func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
