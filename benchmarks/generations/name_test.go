package generations

import "testing"

func TestParseName(t *testing.T) {
	for _, tc := range []struct {
		path string
		want Name
		ok   bool
	}{
		{"aime24_t0.7_p0.9_n32-MNT31744.jsonl", Name{"0.7", "0.9", "32", "31744", "aime24"}, true},
		{"/some_t1_p1_n1-MNT1/math-500_t1.0_p1.0_n4-MNT16.jsonl", Name{"1.0", "1.0", "4", "16", "math-500"}, true},
		{"my_set_t0.6_p0.95_n8-MNT100.jsonl", Name{"0.6", "0.95", "8", "100", "my"}, true},
		{"a_t0.7_p0.9_n4-MNT31744-more.jsonl", Name{"0.7", "0.9", "4", "31744", "a"}, true},
		{"aime24.jsonl", Name{Task: "aime24"}, false},
		{"aime24_t-1_p0.9_n4-MNT5.jsonl", Name{Task: "aime24"}, false},
		{"verdicts.jsonl", Name{Task: "verdicts"}, false},
	} {
		if got, ok := ParseName(tc.path); got != tc.want || ok != tc.ok {
			t.Errorf("%s: %+v %t, want %+v %t", tc.path, got, ok, tc.want, tc.ok)
		}
	}
}

func TestNewName(t *testing.T) {
	for _, tc := range []struct {
		task              string
		temperature, topP float64
		n, maxTokens      int
		want              string // "" if there is no such name
	}{
		{"Olympiad-Bench", 0.7, 0.9, 4, 31744, "olympiad-bench_t0.7_p0.9_n4-MNT31744.jsonl"},
		{"AIME24", 1, 1, 32, 100, "aime24_t1.0_p1.0_n32-MNT100.jsonl"},
		{"AIME24", 0, 0.95, 1, 1, "aime24_t0.0_p0.95_n1-MNT1.jsonl"},
		{"my_set", 1, 1, 1, 1, ""},
		{"a/b", 1, 1, 1, 1, ""},
		{"a", -1, 1, 1, 1, ""},
		{"a", 1, 1, -1, 1, ""},
	} {
		name, err := NewName(tc.task, tc.temperature, tc.topP, tc.n, tc.maxTokens)
		switch {
		case (err != nil) != (tc.want == ""):
			t.Errorf("%+v: %v", tc, err)
		case err == nil && name.File() != tc.want:
			t.Errorf("%s, want %s", name.File(), tc.want)
		}
	}
}
