package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
)

// variedRollouts are n rollouts in groups of 8, of lengths from least to most tokens,
// drawn as a model draws: few tokens often, most seldom, log-probs with noise in every
// bit, many of them near 0.
func variedRollouts(n, least, most int) []Rollout {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	var all []Rollout
	for i := range n {
		r := Rollout{
			Group: int64(i / 8), ProblemID: fmt.Sprintf("problem-%d", i/8), Sample: i % 8, PromptTokenIDs: make([]int32, min(most, 120)),
			TokenIDs: make([]int32, least+rng.IntN(most-least+1)), FinishReason: "stop", Reward: float64(i%2*2 - 1), Correct: i%2 == 1,
			Answer: fmt.Sprint(i), WeightsVersion: 77, Server: fmt.Sprintf("http://10.0.0.%d:8000", i%4),
		}
		for j := range r.PromptTokenIDs {
			r.PromptTokenIDs[j] = int32((i/8*131 + j*17) % 151_000)
		}
		var text strings.Builder
		text.Grow(4 * len(r.TokenIDs))
		if i%5 != 4 || least == most {
			r.Logprobs = make([]float32, len(r.TokenIDs))
		}
		for j := range r.TokenIDs {
			u := rng.Float64()
			r.TokenIDs[j] = int32(151_000 * u * u * u * u * u * u)
			text.WriteString(words[r.TokenIDs[j]%int32(len(words))])
			if r.Logprobs != nil {
				r.Logprobs[j] = -float32(u * u * u * rng.ExpFloat64())
			}
		}
		r.Text = text.String()
		all = append(all, r)
	}
	return all
}

// words are of about four bytes, as a token's text is.
var words = strings.SplitAfter("the of we so that is = x + y ( 2 ) let and then since hence \\frac { } number 1 prime factor sum ^ equal to ", " ")

// What is written comes back bit for bit, over several row groups.
func TestParquetRoundTrip(t *testing.T) {
	d := create(t, filepath.Join(t.TempDir(), "run"))
	want := variedRollouts(96, 1, 30_000)
	want[3].Penalty, want[3].Text, want[3].Answer, want[3].Server = -0.25, "a < b & \"c\" – ∞\x00\n", "", ""
	want[5].Reward, want[5].Correct = 0.1, true
	if err := d.WriteRollouts(2, want); err != nil {
		t.Fatal(err)
	}
	got, err := ReadRollouts(d.Path(), 2)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range rolloutsOf(got) { // one by one: they are long
		if !reflect.DeepEqual(want[i], r) {
			t.Fatalf("rollout %d (-written +read):\n%.2000s", i, cmp.Diff(want[i], r))
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d rollouts, want %d", len(got), len(want))
	}
	if at := got[8].At; !strings.HasSuffix(at, "rollouts/step-000002.parquet:9") {
		t.Errorf("the ninth is said to be at %s", at)
	}
	b, err := os.ReadFile(RolloutsPath(d.Path(), 2))
	if err != nil {
		t.Fatal(err)
	}
	f, err := parquet.OpenFile(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(f.RowGroups()); n < 2 {
		t.Errorf("%d row groups: the file was not written in parts", n)
	}
	if v, ok := f.Lookup(formatKey); !ok || v != formatVersion {
		t.Errorf("the footer's %s is %q", formatKey, v)
	}
	i := 0
	for text, err := range RolloutTexts(d.Path(), 2) {
		w := want[i]
		if want := (RolloutText{w.ProblemID, w.Text, w.FinishReason, w.Reward}); err != nil || text != want {
			t.Fatalf("text %d is %.80v, %v", i, text, err)
		}
		if i++; i == 20 {
			break // the rest is not read
		}
	}
}

// A step without rollouts, as a test's may be, is a file without rows.
func TestParquetOfNothing(t *testing.T) {
	d := create(t, filepath.Join(t.TempDir(), "run"))
	if err := d.WriteRollouts(0, nil); err != nil {
		t.Fatal(err)
	}
	if all, err := ReadRollouts(d.Path(), 0); err != nil || len(all) > 0 {
		t.Errorf("%v, %v", all, err)
	}
}

// Bytes that are no UTF-8 become what JSON makes of them.
func TestParquetTextIsUTF8(t *testing.T) {
	d := create(t, filepath.Join(t.TempDir(), "run"))
	r := someRollout(0, 0)
	r.Text = "a\xffb"
	if err := d.WriteRollouts(0, []Rollout{r}); err != nil {
		t.Fatal(err)
	}
	if all, err := ReadRollouts(d.Path(), 0); err != nil || all[0].Text != "a\ufffdb" {
		t.Errorf("%+v, %v", all, err)
	}
}

// A bit that changes on the disk is found, and told with file and row group; a file
// that was cut is refused.
func TestParquetFindsDamage(t *testing.T) {
	d := create(t, filepath.Join(t.TempDir(), "run"))
	if err := d.WriteRollouts(0, variedRollouts(16, 1, 200)); err != nil {
		t.Fatal(err)
	}
	path := RolloutsPath(d.Path(), 0)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want, err := ReadRollouts(d.Path(), 0)
	if err != nil {
		t.Fatal(err)
	}
	refused, changed := 0, 0
	for at := 0; at < len(whole); at += 1 + at%41 {
		b := bytes.Clone(whole)
		b[at] ^= 0x10
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		changed++
		got, err := ReadRollouts(d.Path(), 0)
		if err == nil && !cmp.Equal(want, got) {
			t.Fatalf("byte %d of %d was changed, and the rollouts are others", at, len(whole))
		}
		if err != nil {
			refused++
			if !strings.HasPrefix(err.Error(), path+": ") || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "fetch") {
				t.Fatalf("error %v", err)
			}
		}
	}
	if refused < changed*3/4 {
		t.Errorf("%d of %d changes were found", refused, changed)
	}
	if err := os.WriteFile(path, whole[:len(whole)-9], 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadRollouts(d.Path(), 0); err == nil || !strings.Contains(err.Error(), path+": is truncated") {
		t.Errorf("error %v", err)
	}
}

// A row that has not all that training needs is told with its row.
func TestParquetRowsThatCannotBeTrainedOn(t *testing.T) {
	type row struct {
		Group    *int64    `parquet:"group,optional"`
		Prompt   []int64   `parquet:"prompt_token_ids"` // a repeated column, not a list
		Tokens   []*int32  `parquet:"token_ids,list" parquet-element:",optional"`
		Logprobs []float64 `parquet:"logprobs,list"`
		Reward   float32   `parquet:"reward"`
	}
	one, i := int64(1), int32(7)
	good := row{&one, []int64{1, 2}, []*int32{&i, &i}, []float64{-1, -2}, 0.5}
	for _, tc := range []struct {
		name string
		bad  func(*row)
		want string
	}{
		{"nothing", func(*row) {}, ""},
		{"no group", func(r *row) { r.Group = nil }, ":2: has no group"},
		{"a token beyond 32 bits", func(r *row) { r.Prompt = []int64{1 << 40} }, "row 2, prompt_token_ids: has 1099511627776, which is too large"},
		{"null among tokens", func(r *row) { r.Tokens = []*int32{&i, nil} }, "row 2, token_ids: has null among its numbers"},
		{"a reward that is none", func(r *row) { r.Reward = float32(nan()) }, "row 2, reward: has NaN, and should be finite"},
		{"log-probs too small for 32 bits", func(r *row) { r.Logprobs[0] = -1e300 }, "row 2, logprobs: has -1e+300, and should be finite"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bad := good
			bad.Logprobs = []float64{-1, -2}
			tc.bad(&bad)
			path := filepath.Join(t.TempDir(), "f.parquet")
			if err := parquet.WriteFile(path, []row{good, bad}); err != nil {
				t.Fatal(err)
			}
			var err error
			n := 0
			for r, e := range ForUpdate(path) {
				if err = e; err == nil {
					n++
					if r.Sample != -1 || r.Reward != 0.5 || len(r.PromptTokenIDs) != 2 || len(r.TokenIDs) != 2 || r.Logprobs[1] != -2 {
						t.Errorf("row %d is %+v", n, r)
					}
				}
			}
			if tc.want == "" {
				if err != nil || n != 2 {
					t.Errorf("%d rows, %v", n, err)
				}
			} else if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.HasPrefix(err.Error(), path+":") {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
	for _, err := range ForUpdate(filepath.Join(t.TempDir(), "f.parquet")) {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a file that is not there: %v", err)
		}
	}
}

func nan() float64 { z := 0.0; return z / z }

// What a step's file is written and read through does not grow with the step.
func TestParquetIsStreamed(t *testing.T) {
	live := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	d := create(t, filepath.Join(t.TempDir(), "run"))
	if err := d.WriteRollouts(0, variedRollouts(200, 1, 30_000)); err != nil { // 3 million tokens, 24 MB of ids and log-probs
		t.Fatal(err)
	}
	before, most, n := live(), uint64(0), 0
	for _, err := range Rollouts(d.Path(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n%50 == 0 {
			most = max(most, live())
		}
	}
	if n != 200 || most > before+12<<20 {
		t.Errorf("%d rollouts read; %d MB were held at most", n, (most-before)>>20)
	}
}

// FuzzParquetRollouts: whatever is in the file, an error of one line, or rollouts that
// can be trained on.
func FuzzParquetRollouts(f *testing.F) {
	for _, all := range [][]Rollout{nil, {someRollout(1, 2)}, variedRollouts(9, 1, 20)} {
		var b bytes.Buffer
		if err := writeParquet(&b, all, 100); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		rows := 0
		enough := errors.New("enough")
		err := readParquet(bytes.NewReader(b), int64(len(b)), nil, func(row int, l rolloutLine) error {
			if rows++; row != rows {
				t.Fatalf("row %d comes as number %d", row, rows)
			}
			if rows > 5000 { // a few bytes can be millions of equal rows
				return enough
			}
			if r, err := l.rollout(); err == nil {
				trainable(t, r)
			}
			return nil
		})
		if err != nil && (err.Error() == "" || strings.Contains(err.Error(), "\n")) {
			t.Fatalf("error %q", err)
		}
	})
}
