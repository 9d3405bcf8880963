package sets

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"go.uber.org/goleak"

	"github.com/justrl/justrl/benchmarks"
	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/internal/hub"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The authors' two schemas, with problems of our own.
type verlRow struct {
	Prompt []struct {
		Content string `parquet:"content"`
		Role    string `parquet:"role"`
	} `parquet:"prompt,list"`
	DataSource  string `parquet:"data_source"`
	RewardModel struct {
		GroundTruth string `parquet:"ground_truth"`
		Style       string `parquet:"style"`
	} `parquet:"reward_model"`
	ExtraInfo struct {
		Index string `parquet:"index"`
	} `parquet:"extra_info"`
}

type arenaRow struct {
	Idx     int64    `parquet:"problem_idx"`
	Problem string   `parquet:"problem"`
	Answer  string   `parquet:"answer"`
	Type    []string `parquet:"problem_type,list"`
}

func verl(index, question, answer string) (r verlRow) {
	r.Prompt = append(r.Prompt, struct {
		Content string `parquet:"content"`
		Role    string `parquet:"role"`
	}{question, "user"})
	r.DataSource, r.RewardModel.GroundTruth, r.RewardModel.Style, r.ExtraInfo.Index = "made", answer, "rule", index
	return r
}

// made is a set of rows of our own, and its file's bytes.
func made[T any](t testing.TB, name, question, answer string, rows ...T) (Set, []byte) {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[T](&b)
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b.Bytes())
	return Set{Name: name, K: 4, QuestionColumn: question, AnswerColumn: answer, Rows: len(rows), Size: int64(b.Len()), SHA256: hex.EncodeToString(sum[:])}, b.Bytes()
}

func madeVerl(t testing.TB) (Set, []byte) {
	return made(t, "Made", verlQuestion, verlAnswer, verl("made-0", " What is 1 + 1?\n", ` \boxed{2} `), verl("made-1", "\x1fWhat is 2 + 2?\u00a0", "4\n"))
}

func put(t testing.TB, path string, b []byte) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoad(t *testing.T) {
	set, b := madeVerl(t)
	want := []benchmarks.Problem{
		{ID: 0, Question: "What is 1 + 1?", Answer: `\boxed{2}`, Columns: map[string]string{"data_source": "made", "reward_model.style": "rule", "extra_info.index": "made-0"}},
		{ID: 1, Question: "What is 2 + 2?", Answer: "4", Columns: map[string]string{"data_source": "made", "reward_model.style": "rule", "extra_info.index": "made-1"}},
	}
	for _, name := range []string{"Made.parquet", "Made/test.parquet"} {
		dir := t.TempDir()
		put(t, filepath.Join(dir, name), b)
		got, err := Store{Dir: dir}.Load(t.Context(), set)
		if d := cmp.Diff(want, got); err != nil || d != "" {
			t.Errorf("%s: %v (-want +got)\n%s", name, err, d)
		}
	}
	set, b = made(t, "Arena", arenaQuestion, arenaAnswer, arenaRow{7, "Q?", "2^{99}", []string{"Algebra", "Number Theory"}}, arenaRow{8, "R?", "1", nil})
	dir := t.TempDir()
	put(t, filepath.Join(dir, "Arena.parquet"), b)
	want = []benchmarks.Problem{
		{ID: 0, Question: "Q?", Answer: "2^{99}", Columns: map[string]string{"problem_idx": "7", "problem_type": "Algebra, Number Theory"}},
		{ID: 1, Question: "R?", Answer: "1", Columns: map[string]string{"problem_idx": "8"}},
	}
	got, err := Store{Dir: dir}.Load(t.Context(), set)
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("%v (-want +got)\n%s", err, d)
	}
}

func wantOneLine(t testing.TB, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, w := range append(words, "") {
		if strings.ContainsAny(err.Error(), "\r\n") || !strings.Contains(err.Error(), w) {
			t.Errorf("error %q, want one line with %q", err, w)
		}
	}
}

func TestLoadErrors(t *testing.T) {
	set, b := madeVerl(t)
	dir := t.TempDir()
	_, err := Store{Dir: dir}.Load(t.Context(), set)
	wantOneLine(t, err, filepath.Join(dir, "Made.parquet"), "justrl data fetch Made")
	var missing *MissingError
	if !errors.As(err, &missing) {
		t.Errorf("%T", err)
	}

	path := put(t, filepath.Join(dir, "Made.parquet"), b[:len(b)-1])
	_, err = Store{Dir: dir}.Load(t.Context(), set)
	cut := sha256.Sum256(b[:len(b)-1])
	wantOneLine(t, err, path, set.SHA256, hex.EncodeToString(cut[:]), "remove it, and justrl data fetch Made")

	set.Rows++
	_, err = set.Read(t.Context(), put(t, path, b))
	wantOneLine(t, err, path, "has 2 rows, Made has 3")
	set.AnswerColumn = "answer"
	_, err = set.Read(t.Context(), path)
	wantOneLine(t, err, path, "row 0: answer is empty or missing")
	empty, b := made(t, "Empty", verlQuestion, verlAnswer, verl("a", "q", " \n"))
	_, err = empty.Read(t.Context(), put(t, path, b))
	wantOneLine(t, err, path, "row 0: reward_model.ground_truth is empty or missing")
}

func TestOpenOnAPath(t *testing.T) {
	path := put(t, filepath.Join(t.TempDir(), "mine.jsonl"), []byte(`{"problem":" q ","answer":5,"level":3}`+"\n"+`{"problem":"r","answer":"x","level":4,"topic":"a"}`+"\n"))
	got, err := Open(t.Context(), path)
	want := []benchmarks.Problem{
		{ID: 0, Question: "q", Answer: "5", Columns: map[string]string{"level": "3"}},
		{ID: 1, Question: "r", Answer: "x", Columns: map[string]string{"level": "4", "topic": "a"}},
	}
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("%v (-want +got)\n%s", err, d)
	}
	table := put(t, filepath.Join(t.TempDir(), "mine.csv"), []byte("problem,answer,level\n\n q ,5,3\nr,x,4\n"))
	want[1].Columns = map[string]string{"level": "4"}
	got, err = Open(t.Context(), table)
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("CSV: %v (-want +got)\n%s", err, d)
	}
	_, err = Open(t.Context(), put(t, path, []byte(`{"question":"q"}`)))
	wantOneLine(t, err, path, "line 1", "question")
	set, b := madeVerl(t)
	if got, err := Open(t.Context(), put(t, path, b)); err != nil || len(got) != set.Rows || got[0].Answer != `\boxed{2}` || got[1].Columns["extra_info.index"] != "made-1" {
		t.Errorf("%+v, %v", got, err)
	}
}

// origin serves a set's file where the authors' repository has it.
func origin(t *testing.T, set Set, b []byte) (asked *[]string) {
	t.Helper()
	asked = new([]string)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, r.URL.Path)
		if r.URL.Path != "/base/data/"+set.Name+"/test.parquet" {
			http.NotFound(w, r)
			return
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
	}))
	t.Cleanup(srv.Close)
	t.Setenv(OriginEnv, srv.URL+"/base/")
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	return asked
}

func newHub(t *testing.T, o hub.Options) *hub.Client {
	t.Helper()
	o.Retry = endpoint.Retry{Tries: 1}
	c, err := hub.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestFetch(t *testing.T) {
	set, b := madeVerl(t)
	asked := origin(t, set, b)
	online, offline := Store{Hub: newHub(t, hub.Options{})}, Store{Hub: newHub(t, hub.Options{Offline: true})}

	_, err := offline.Load(t.Context(), set)
	wantOneLine(t, err, "Made", "HF_HUB_OFFLINE")
	_, err = Store{}.Load(t.Context(), set)
	wantOneLine(t, err, "justrl data fetch Made")
	if len(*asked) != 0 {
		t.Fatalf("asked %q", *asked)
	}
	for range 2 {
		if got, err := online.Load(t.Context(), set); err != nil || len(got) != 2 {
			t.Fatalf("%d problems, %v", len(got), err)
		}
	}
	if _, err := offline.Load(t.Context(), set); err != nil {
		t.Error(err)
	}
	if len(*asked) != 1 {
		t.Errorf("asked %q, want once", *asked)
	}

	// A damaged file in the cache is told of when it is read, and replaced when it is fetched.
	path, err := online.Path(set)
	if err != nil {
		t.Fatal(err)
	}
	put(t, path, []byte("damaged"))
	_, err = online.Load(t.Context(), set)
	wantOneLine(t, err, path, "justrl data fetch Made")
	_, _, err = offline.Fetch(t.Context(), set)
	wantOneLine(t, err, path, set.SHA256)
	if got, there, err := online.Fetch(t.Context(), set); err != nil || there || got != path {
		t.Errorf("%q, %v, %v", got, there, err)
	}
	if got, there, err := online.Fetch(t.Context(), set); err != nil || !there || got != path {
		t.Errorf("the second time: %q, %v, %v", got, there, err)
	}

	// The user's folder is filled by fetch alone, and nothing there is replaced.
	mine := Store{Dir: filepath.Join(t.TempDir(), "new"), Hub: online.Hub}
	_, err = mine.Load(t.Context(), set)
	wantOneLine(t, err, mine.Dir, "justrl data fetch Made")
	if _, _, err := mine.Fetch(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(mine.Dir, "Made.parquet"), []byte("mine"))
	_, _, err = mine.Fetch(t.Context(), set)
	wantOneLine(t, err, mine.Dir, "remove it")
	if got, err := os.ReadFile(filepath.Join(mine.Dir, "Made.parquet")); err != nil || string(got) != "mine" {
		t.Errorf("it has %q, %v", got, err)
	}

	gone := set
	gone.Name = "Gone"
	_, _, err = online.Fetch(t.Context(), gone)
	wantOneLine(t, err, "Gone", "404", OriginEnv)
}
