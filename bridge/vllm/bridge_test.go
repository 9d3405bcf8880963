package vllm

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/bridge/bridgetest"
)

// trainer is a run in small: a model that moves, its snapshots, and the bridge.
type trainer struct {
	*rig
	model   *bridgetest.Model
	bridge  *bridge.Bridge
	version int64
}

func newTrainer(t *testing.T) *trainer {
	t.Helper()
	r := newRig(t)
	m := theta0
	b, err := bridge.New(bridge.Options{
		Deployments: []bridge.Deployment{{Name: r.URL, Publisher: r.publisher, Server: r.scorer()}},
		Trainer:     &m, Probes: bridgetest.Probes(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return &trainer{rig: r, model: &m, bridge: b}
}

func (tr *trainer) start(t *testing.T) {
	t.Helper()
	tr.version++
	if r, err := tr.bridge.Start(t.Context(), tr.publish(t, tr.version, *tr.model)); err != nil || !r.Passed {
		t.Fatalf("start: %+v, %v", r, err)
	}
}

// step moves the trainer's weights and takes them live.
func (tr *trainer) step(t *testing.T, by float64) (bridge.Report, error) {
	t.Helper()
	*tr.model = tr.model.Moved(by)
	tr.version++
	r, err := tr.bridge.Advance(t.Context(), tr.publish(t, tr.version, *tr.model))
	if _, bad := json.Marshal(r); bad != nil {
		t.Errorf("the report has no JSON: %v", bad)
	}
	if r.Passed != (err == nil) || err == nil && tr.bridge.Live().Version != tr.version {
		t.Errorf("report %+v, error %v, live %+v", r, err, tr.bridge.Live())
	}
	return r, err
}

func TestVersionsAdvanceOnARightServer(t *testing.T) {
	for name, f := range map[string]bridgetest.Faults{
		"vLLM 0.32": {}, "older": {Old: true}, "checksums of nothing": {Blind: true},
		"noisy": {Noise: 1e-3}, "biased": {Bias: 0.01},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTrainer(t)
			tr.Set(f)
			tr.start(t)
			for i, by := range []float64{0, 0.02, 1e-9, 0, -0.03, 1e-5, 1e-5, 0.2} {
				if r, err := tr.step(t, by); err != nil {
					t.Fatalf("step %d by %g: %v (%+v)", i, by, err, r)
				}
			}
		})
	}
}

// Each of these servers acknowledges everything.
func TestLyingServersAreCaughtInThatStep(t *testing.T) {
	tests := map[string]struct {
		faults bridgetest.Faults
		by     float64
		part   bridge.Part
		want   string
	}{
		"keeps the old weights": {bridgetest.Faults{KeepWeights: true}, 0.01, bridge.PartOwn,
			"it acknowledged the reload but still answers with version 2's weights: 102 of its 102 probe log-probs are bit-equal although the snapshot differs and the trainer's moved by"},
		"keeps the old weights and hides them": {bridgetest.Faults{KeepWeights: true, Blind: true}, 1e-4, bridge.PartOwn,
			"still answers with version 2's weights"},
		"keeps the old weights, without versions and checksums": {bridgetest.Faults{KeepWeights: true, Old: true}, 1e-4, bridge.PartOwn,
			"still answers with version 2's weights"},
		"keeps the prefix cache": {bridgetest.Faults{KeepCache: true}, 0.02, bridge.PartCache,
			"it answers from a prefix cache of older weights"},
		"loads the wrong way": {bridgetest.Faults{Reverse: true}, 0.01, bridge.PartDirection,
			"is -1.00, want about 1 and at least 0.5"},
		"loads something else too": {bridgetest.Faults{Bias: 0.5}, 0.2, bridge.PartAgreement,
			"differ from the trainer's by 0.5 nats in the median"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tr := newTrainer(t)
			tr.Set(bridgetest.Faults{Old: tc.faults.Old})
			tr.start(t)
			if _, err := tr.step(t, 0.01); err != nil {
				t.Fatal(err)
			}
			if tc.faults.Bias == 0 {
				tr.Set(tc.faults)
			} else { // what the weights spoil must not show before the load
				tr.OnReload(func() { tr.Set(tc.faults) })
			}
			_, err := tr.step(t, tc.by)
			tr.caught(t, err, tc.part, tc.want, 3)
			if tr.bridge.Live().Version != 2 {
				t.Errorf("the version advanced to %d", tr.bridge.Live().Version)
			}
			if tr.Paused() {
				t.Error("left paused")
			}
			if _, err := tr.step(t, tc.by); err == nil || !strings.Contains(err.Error(), "before Start") {
				t.Errorf("a step after a failure: %v", err)
			}
			tr.Set(bridgetest.Faults{})
			tr.start(t)
			if _, err := tr.step(t, 0.01); err != nil {
				t.Errorf("a step after another start: %v", err)
			}
		})
	}
}

func (tr *trainer) caught(t *testing.T, err error, part bridge.Part, want string, version int64) {
	t.Helper()
	var canary *bridge.CanaryError
	if !errors.As(err, &canary) {
		t.Fatalf("error is %v, want a CanaryError", err)
	}
	if canary.Part != part || canary.Version != version || canary.Server != tr.URL || !strings.Contains(canary.Seen, want) {
		t.Errorf("caught as %+v; want part %s, version %d, %q", canary, part, version, want)
	}
	if text := err.Error(); strings.Contains(text, "\n") || !strings.Contains(text, tr.URL) || !strings.Contains(text, fmt.Sprintf("version %d", version)) {
		t.Errorf("not one line with server and version: %q", text)
	}
}

// A change too small to see is no failure, but many of them are.
func TestSmallChangesAddUp(t *testing.T) {
	tr := newTrainer(t)
	tr.start(t)
	tr.Set(bridgetest.Faults{KeepWeights: true})
	unseen := 0
	for {
		r, err := tr.step(t, 2e-7)
		if err != nil {
			tr.caught(t, err, bridge.PartOwn, "still answers with version", tr.version)
			break
		}
		if len(r.Servers[0].Inconclusive) == 0 || r.Servers[0].EqualTokens != r.Servers[0].Tokens {
			t.Fatalf("step %d: %+v", unseen, r.Servers[0])
		}
		if unseen++; unseen > 50 {
			t.Fatal("never caught")
		}
	}
	if unseen < 2 {
		t.Errorf("caught after %d steps: the test shows nothing", unseen)
	}
}

func TestChangesBetweenLoadsAreCaught(t *testing.T) {
	for name, old := range map[string]bool{"with versions": false, "without": true} {
		t.Run(name, func(t *testing.T) {
			tr := newTrainer(t)
			tr.Set(bridgetest.Faults{Old: old})
			tr.start(t)
			if _, err := tr.step(t, 0.01); err != nil {
				t.Fatal(err)
			}
			tr.Restart(theta0)
			_, err := tr.step(t, 0.01)
			tr.caught(t, err, bridge.PartIdle, "it was restarted, or somebody else loads weights into it", 3-b2i(!old))
			tr.start(t)
			if _, err := tr.step(t, 0.01); err != nil {
				t.Errorf("a step after another start: %v", err)
			}
		})
	}
}

func TestCheckCatchesARestart(t *testing.T) {
	for name, old := range map[string]bool{"with versions": false, "without": true} {
		t.Run(name, func(t *testing.T) {
			tr := newTrainer(t)
			tr.Set(bridgetest.Faults{Old: old})
			tr.start(t)
			if _, err := tr.step(t, 0.01); err != nil {
				t.Fatal(err)
			}
			if _, err := tr.bridge.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			tr.Restart(theta0)
			_, err := tr.bridge.Check(t.Context())
			tr.caught(t, err, bridge.PartIdle, "it was restarted, or somebody else loads weights into it", 2)
			if _, err := tr.step(t, 0.01); err == nil || !strings.Contains(err.Error(), "before Start") {
				t.Errorf("a step after that: %v", err)
			}
			tr.start(t)
			if _, err := tr.step(t, 0.01); err != nil {
				t.Errorf("a step after another start: %v", err)
			}
		})
	}
}

// b2i: the version tag tells of the version that is gone, the log-probs of the one to come.
func b2i(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func TestTheSameSnapshotMustChangeNothing(t *testing.T) {
	tr := newTrainer(t)
	tr.start(t)
	tr.OnReload(func() { tr.Set(bridgetest.Faults{Bias: 1e-5}) })
	_, err := tr.step(t, 0)
	tr.caught(t, err, bridge.PartOwn, "the snapshot is the one that was live, yet its probe log-probs moved", 2)
}

func TestStartRefusesAnotherModel(t *testing.T) {
	tr := newTrainer(t)
	tr.Restart(theta0.Moved(0.5))
	tr.Set(bridgetest.Faults{KeepWeights: true})
	_, err := tr.bridge.Start(t.Context(), tr.publish(t, 1, *tr.model))
	tr.caught(t, err, bridge.PartAgreement, "it serves other weights or another model", 1)
	if _, err := tr.bridge.Advance(t.Context(), tr.publish(t, 2, *tr.model)); err == nil {
		t.Error("Advance after a failed Start")
	}
}

func TestStartPutsItsOwnWeights(t *testing.T) {
	tr := newTrainer(t)
	tr.Restart(theta0.Moved(0.5)) // started with another checkpoint
	tr.start(t)
	if tr.Model().Theta != theta0.Theta {
		t.Error("serves something else")
	}
}
