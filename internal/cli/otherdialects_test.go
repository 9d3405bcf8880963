package cli

import (
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/openaitest"
	"github.com/justrl/justrl/sampler/sglang/sglangtest"
)

// An SGLang says with every answer which weights it is of. What a run has loaded
// is taken, under its version alone; what somebody else has loaded is not, unless a
// program of the user's loads, which names weights as it likes.
func TestSGLangAnswersAreOfTheRunsWeights(t *testing.T) {
	policy, err := filepath.Abs(examplePolicy)
	if err != nil {
		t.Fatal(err)
	}
	want, err := inspector{}.Tensors(policy)
	if err != nil {
		t.Fatal(err)
	}
	for _, sync := range []string{config.SyncAuto, config.SyncCommand} {
		t.Run(sync, func(t *testing.T) {
			fake := sglangtest.New(t, sglangtest.Options{Policy: openaitest.Options{Vocab: shippedVocab, ModelDir: policy}})
			e, err := endpoint.New(fake.URL, endpoint.Options{})
			if err != nil {
				t.Fatal(err)
			}
			s := &server{name: fake.URL, endpoint: e, control: e}
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
			s.cfg.Publish.Sync, s.cfg.Publish.Command = sync, []string{"true"}
			if _, err := s.connect(t.Context(), false); err != nil {
				t.Fatal(err)
			}
			d, err := s.deployment("run1", want)
			if err != nil {
				t.Fatal(err)
			}
			snapshots := &bridge.Snapshots{Root: t.TempDir(), Exporter: exported{policy}, Inspector: inspector{}, Want: want, Keep: 2}
			snapshot, err := snapshots.Publish(t.Context(), 3, 2)
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Publisher.Load(t.Context(), snapshot); err != nil {
				t.Fatal(err)
			}
			ask := func(version int64) error {
				_, err := s.Generate(t.Context(), sampler.Request{
					PromptTokenIDs: []int32{1, 2}, Count: 1, Version: version,
					Params: sampler.Params{N: 1, Temperature: 1, TopP: 1, TopK: -1, MaxTokens: 4, Logprobs: true},
				})
				return err
			}
			if err := ask(3); err != nil {
				t.Errorf("of the run's own weights: %v", err)
			}
			body := map[string]any{"model_path": snapshot.Dir, "weight_version": "somebody-3", "flush_cache": true}
			if err := e.Do(t.Context(), http.MethodPost, "/update_weights_from_disk", body, nil); err != nil {
				t.Fatal(err)
			}
			err = ask(3)
			if sync == config.SyncCommand {
				if err != nil {
					t.Errorf("loaded by the user's program: %v", err)
				}
				return
			}
			var bad *endpoint.ReplyError
			if !errors.As(err, &bad) || !strings.Contains(err.Error(), `it is of weights "somebody-3", asked for version 3 ("run1-3")`) {
				t.Errorf("of somebody's weights: %v", err)
			}
		})
	}
}
