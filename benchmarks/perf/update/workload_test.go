package main

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/justrl/justrl/updater/model"
)

// The presets are models that the project opens, of the sizes that they are said to have.
func TestPresets(t *testing.T) {
	for name, least := range map[string]int64{"tiny": 6_900_000, "smol135m": 134_000_000, "qwen-vocab": 42_000_000} {
		t.Run(name, func(t *testing.T) {
			p := presets[name]
			if name != "tiny" { // the others differ in nothing but size: half a gigabyte
				p.config = with(p.config, map[string]any{"vocab_size": 64, "num_hidden_layers": 1})
			}
			dir := filepath.Join(t.TempDir(), name)
			if err := writeModel(dir, p.config, 1); err != nil {
				t.Fatal(err)
			}
			spec, set, err := model.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := set.Close(); err != nil {
				t.Fatal(err)
			}
			spec.Vocab, spec.Layers = presets[name].config["vocab_size"].(int), presets[name].config["num_hidden_layers"].(int)
			if n := parameters(spec); n < least || n > least+least/50 {
				t.Errorf("%d parameters, want %d", n, least)
			}
			if !spec.TiedHead || p.problems%4 != 0 {
				t.Errorf("tied %t, %d problems", spec.TiedHead, p.problems)
			}
		})
	}
}

func TestModelsRepeat(t *testing.T) {
	config := with(presets["tiny"].config, map[string]any{"vocab_size": 32, "num_hidden_layers": 1})
	files := [3][]byte{}
	for i, seed := range []uint64{1, 1, 2} {
		dir := t.TempDir()
		if err := writeModel(dir, config, seed); err != nil {
			t.Fatal(err)
		}
		var err error
		if files[i], err = os.ReadFile(filepath.Join(dir, "model.safetensors")); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(files[0], files[1]) || bytes.Equal(files[0], files[2]) {
		t.Error("the weights are not a function of the seed")
	}
}

func TestRollouts(t *testing.T) {
	const problems, vocab = 400, 300
	all := makeRollouts(problems, vocab, spreadLengths, 1)
	if again := makeRollouts(problems, vocab, spreadLengths, 1); !reflect.DeepEqual(all, again) {
		t.Error("one seed gave two results")
	}
	if len(all) != problems*perGroup {
		t.Fatalf("%d rollouts", len(all))
	}
	var sizes []int
	mixed := 0
	for i := 0; i < len(all); i += perGroup {
		rewards := map[float64]bool{}
		for _, r := range all[i : i+perGroup] {
			sizes = append(sizes, len(r.TokenIDs))
			rewards[r.Reward] = true
			if r.Group != int64(i/perGroup) || !slices.Equal(r.PromptTokenIDs, all[i].PromptTokenIDs) {
				t.Fatalf("rollout %d is of group %d, or has another prompt", i, r.Group)
			}
			last := len(r.TokenIDs) - 1
			if slices.Index(r.TokenIDs, end) != last || slices.Max(r.TokenIDs) >= vocab || slices.Min(r.PromptTokenIDs) <= end {
				t.Fatalf("tokens %v", r.TokenIDs)
			}
		}
		for reward := range rewards {
			if reward != 1 && reward != -1 {
				t.Fatalf("reward %g", reward)
			}
		}
		if len(rewards) == 2 {
			mixed++
		} else if i == 0 {
			t.Error("the first group teaches nothing: its update could not tell contenders apart")
		}
	}
	slices.Sort(sizes)
	if median := sizes[len(sizes)/2]; median != 108 {
		t.Errorf("median response %d tokens, want 108", median)
	}
	if sizes[0] < 4 || sizes[len(sizes)-1] != spreadLengths.longest || sizes[len(sizes)*9/10] < 2*108 {
		t.Errorf("responses from %d to %d tokens, nine in ten below %d", sizes[0], sizes[len(sizes)-1], sizes[len(sizes)*9/10])
	}
	if mixed < problems*2/3 || mixed > problems*5/6 {
		t.Errorf("%d of %d groups are mixed, want three in four", mixed, problems)
	}
}

func TestOnePack(t *testing.T) {
	for _, sequences := range []int{4, 2} {
		longest := map[int]int{4: 1024, 2: 4000}[sequences]
		rollouts := onePack(4096, sequences, longest, 100, 1)
		if tokens, responses := count(rollouts); tokens != 4096 || responses != 4096-sequences*64 || len(rollouts) != sequences {
			t.Errorf("%d tokens, %d of responses, in %d", tokens, responses, len(rollouts))
		}
		if n := len(rollouts[0].PromptTokenIDs) + len(rollouts[0].TokenIDs); n != longest || rollouts[0].Reward == rollouts[1].Reward {
			t.Errorf("the first has %d tokens, rewards %g and %g", n, rollouts[0].Reward, rollouts[1].Reward)
		}
	}
}

func TestQuantile(t *testing.T) {
	for _, tc := range []struct {
		name string
		l    lengths
		q    float64
		want int
	}{
		{"the median", lengths{100, 0.9, 1024}, 0.5, 100},
		{"one deviation above", lengths{100, 0.9, 1024}, 0.8413447460685429, 246}, // 100·e^0.9 = 245.96
		{"one deviation below", lengths{100, 0.9, 1024}, 0.15865525393145707, 41},
		{"the longest", lengths{100, 0.9, 1024}, 0.9999, 1024},
		{"the shortest", lengths{5, 3, 9}, 0.0001, 4},
	} {
		if got := tc.l.quantile(tc.q); got != tc.want {
			t.Errorf("%s: %d, want %d", tc.name, got, tc.want)
		}
	}
}

func with(a, b map[string]any) map[string]any {
	out := map[string]any{}
	for _, m := range []map[string]any{a, b} {
		for k, v := range m {
			out[k] = v
		}
	}
	return out
}
