package orchestrator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/updater"
)

// Replay trains a recorded step again, without a server: from the newest
// checkpoint that is not after it, with the rollouts and rewards that the run
// recorded. The run directory is only read, and may be at work.
type Replay struct {
	Run    string        // its directory
	Config config.Config // the run's own
	Step   int
	// Updater holds the model that the run began with.
	Updater updater.Updater
	// SHA256 is the hash of the updater's weights, over their tensors in name order.
	SHA256 func(ctx context.Context) (string, error)
}

// Replayed is what a replay came to, beside what the run recorded.
type Replayed struct {
	Step       int    `json:"step"`
	From       int    `json:"from"`       // steps done at the checkpoint that it began with
	Checkpoint string `json:"checkpoint"` // its folder; "" for the model that the run began with
	// Figures are all that were compared: those of the step, and of the steps
	// from the checkpoint to it.
	Figures []Figure `json:"-"`
}

// Figure is one number of a step's record, and what it is now. Both are JSON.
type Figure struct {
	Step     int             `json:"step"`
	Key      string          `json:"key"`
	Recorded json.RawMessage `json:"recorded"`
	Replayed json.RawMessage `json:"replayed"`
}

// Same tells whether the two are equal to the last bit: JSON has every bit of a float.
func (f Figure) Same() bool { return string(f.Recorded) == string(f.Replayed) }

// Differences are the figures that are not the same, in the order of the steps.
func (r Replayed) Differences() []Figure {
	return slices.DeleteFunc(slices.Clone(r.Figures), Figure.Same)
}

// Do replays the step. The updater holds the weights after it when Do returns nil.
func (r Replay) Do(ctx context.Context) (Replayed, error) {
	out := Replayed{Step: r.Step}
	var err error
	if out.Checkpoint, out.From, err = journal.CheckpointBefore(r.Run, r.Step); err != nil {
		return out, err
	}
	records, err := journal.RecordedSteps(r.Run, out.From, r.Step)
	if err != nil {
		return out, err
	}
	if err := r.haveRollouts(out.From); err != nil {
		return out, err
	}
	if out.Checkpoint != "" {
		if err := journal.VerifyCheckpoint(r.Run, out.From); err != nil {
			return out, fmt.Errorf("%w; what step %d came to cannot be told from it", err, r.Step)
		}
		if err := r.Updater.LoadState(ctx, filepath.Join(out.Checkpoint, journal.StateFolder)); err != nil {
			return out, err
		}
	}
	for _, recorded := range records {
		replayed, err := r.train(ctx, recorded.Step)
		if err != nil {
			return out, fmt.Errorf("step %d: %w", recorded.Step, err)
		}
		if recorded.Step == r.Step {
			if replayed.WeightsSHA256, err = r.SHA256(ctx); err != nil {
				return out, err
			}
		}
		more, err := compare(recorded, replayed)
		if err != nil {
			return out, err
		}
		out.Figures = append(out.Figures, more...)
	}
	return out, nil
}

// haveRollouts names the first file that is missing, before anything is trained.
func (r Replay) haveRollouts(from int) error {
	for step := from; step <= r.Step; step++ {
		path := journal.RolloutsPath(r.Run, step)
		_, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("step %d is trained again from step %d on, and %s is not there; checkpoint.rollouts says how many steps' are kept (%d; 0 is all)", r.Step, from, path, r.Config.Checkpoint.Rollouts)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// train does one step with the rewards that its rollouts were recorded with,
// which are those that it was trained with, shuffled ones included.
func (r Replay) train(ctx context.Context, step int) (journal.Step, error) {
	rec := journal.Step{Step: step}
	recorded, err := journal.ReadRollouts(r.Run, step)
	if err != nil {
		return rec, err
	}
	groups := asRecorded(recorded)
	if len(groups) == 0 {
		return rec, fmt.Errorf("%s: has no rollouts", journal.RolloutsPath(r.Run, step))
	}
	describe(&rec, groups, r.Config.Sampling.MaxTokens)
	result, err := r.Updater.Step(ctx, step, forUpdater(groups), nil)
	trained(&rec, result)
	return rec, err
}

// asRecorded makes groups of a file's lines: those with one number, in the order of the file.
func asRecorded(recorded []journal.Recorded) (groups []sampler.Group) {
	at := map[int64]int{}
	for _, o := range recorded {
		i, ok := at[o.Group]
		if !ok {
			i = len(groups)
			at[o.Group] = i
			groups = append(groups, sampler.Group{Row: sampler.Row{Ordinal: o.Group, PromptTokenIDs: o.PromptTokenIDs}})
		}
		groups[i].Rollouts = append(groups[i].Rollouts, samplerRollout(o.Rollout))
	}
	return groups
}

// compare pairs the figures of two records that a replay can know, by key.
func compare(recorded, replayed journal.Step) ([]Figure, error) {
	was, err := figures(recorded)
	if err != nil {
		return nil, err
	}
	is, err := figures(replayed)
	if err != nil {
		return nil, err
	}
	if recorded.WeightsSHA256 == "" || replayed.WeightsSHA256 == "" { // never written, or not this step's business
		delete(was, weightsKey)
		delete(is, weightsKey)
	}
	var all []Figure
	keys := maps.Clone(was) // one may have updates that the other lacks
	maps.Copy(keys, is)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		all = append(all, Figure{recorded.Step, key, orNull(was[key]), orNull(is[key])})
	}
	return all, nil
}

func orNull(v json.RawMessage) json.RawMessage {
	if v == nil {
		return json.RawMessage("null")
	}
	return v
}

const weightsKey = "weights_sha256"

// figures are a record's numbers by key, those of an update as updates[0]/key,
// without what a clock, a server, another verifier or the data stream decide.
func figures(s journal.Step) (map[string]json.RawMessage, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("step %d: %w", s.Step, err)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, err
	}
	var updates []map[string]json.RawMessage
	if err := json.Unmarshal(all["updates"], &updates); err != nil {
		return nil, err
	}
	for _, key := range []string{"step", "updates", "canary", "weights_version", "perf/throughput", "perf/ended", "perf/servers", "perf/server_events"} {
		delete(all, key)
	}
	maps.DeleteFunc(all, func(key string, _ json.RawMessage) bool {
		return strings.HasPrefix(key, "timing_s/") || strings.HasPrefix(key, "data/") || strings.HasPrefix(key, "sampling/") ||
			strings.HasPrefix(key, "monitor/") || strings.HasPrefix(key, "cost/")
	})
	for i, u := range updates {
		for key, v := range u {
			all[fmt.Sprintf("updates[%d]/%s", i, key)] = v
		}
	}
	return all, nil
}
