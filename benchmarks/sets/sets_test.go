package sets

import (
	"errors"
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	k32 := map[string]bool{"AIME24": true, "AIME25": true, "AMC23": true, "HMMT25": true, "BRUMO25": true, "CMIMC25": true}
	seen := map[string]bool{}
	for _, s := range All() {
		if len(s.SHA256) != 64 || s.Rows < 30 || s.Size < 5000 || seen[s.SHA256] || seen[s.Name] {
			t.Errorf("%+v", s)
		}
		seen[s.SHA256], seen[s.Name] = true, true
		if want := map[bool]int{true: 32, false: 4}[k32[s.Name]]; s.K != want {
			t.Errorf("%s: avg@%d, the paper has avg@%d", s.Name, s.K, want)
		}
	}
	if len(Names()) != 9 || strings.Join(Names(), " ") != "AIME24 AIME25 AMC23 MATH-500 Minerva Olympiad-Bench HMMT25 BRUMO25 CMIMC25" {
		t.Errorf("the sets are %q", Names())
	}
	all := All()
	all[0].Name = "mine"
	if Names()[0] != "AIME24" {
		t.Error("who changes the list changes the sets")
	}
}

func TestLookup(t *testing.T) {
	for _, name := range []string{"MATH-500", "math-500", "Math-500"} {
		if s, err := Lookup(name); err != nil || s.Name != "MATH-500" {
			t.Errorf("%q: %+v, %v", name, s, err)
		}
	}
	for name, want := range map[string]string{
		"AIME2024": "AIME24", "AIME 24": "AIME24", "aime_25": "AIME25", "AIM24": "AIME24", "math500": "MATH-500", "math": "MATH-500", "minvera": "Minerva",
		"olympiad": "Olympiad-Bench", "OlympiadBench": "Olympiad-Bench", "hmmt": "HMMT25", "brumo": "BRUMO25", "cmimc": "CMIMC25", "amc": "AMC23",
		"AIME": "AIME24, AIME25", "AIME26": "AIME24, AIME25", "AIME 2": "AIME24, AIME25", "HMMT26": "HMMT25", "": "", "gsm8k": "", "all of them": "", "\xff\xfe": "",
	} {
		_, err := Lookup(name)
		var unknown *UnknownError
		if !errors.As(err, &unknown) || strings.Join(unknown.Nearest, ", ") != want {
			t.Errorf("%q: %v, want %q suggested", name, err, want)
			continue
		}
		if s := err.Error(); !strings.Contains(s, "CMIMC25") || strings.Contains(s, "; nearest: "+want+";") != (want != "") {
			t.Errorf("%q: %s", name, s)
		}
	}
}

func TestURL(t *testing.T) {
	s, err := Lookup("AIME24")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(OriginEnv, "")
	if got := s.URL(); got != "https://raw.githubusercontent.com/thunlp/JustRL/cf444e9920b599c865ee6742c88dc162dcabcec2/data/AIME24/test.parquet" {
		t.Error(got)
	}
	t.Setenv(OriginEnv, "http://mirror/x/")
	if got := s.URL(); got != "http://mirror/x/data/AIME24/test.parquet" {
		t.Error(got)
	}
}
