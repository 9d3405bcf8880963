package metrics

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestDistinctAsPython(t *testing.T) {
	var d Distinct
	for i, c := range readOracle(t).Distinct {
		d.Reset()
		for _, text := range c.Texts {
			d.Add(text)
		}
		near(t, fmt.Sprintf("share of case %d", i), d.Share(), c.Share, 0)
	}
}

func TestSpacesArePythons(t *testing.T) {
	var got []int
	for r := rune(0); r < 0x3100; r++ {
		if s := string(r); spaceAt(s, 0) == len(s) && spaceAt(s+"x", 0) == len(s) {
			got = append(got, int(r))
		} else if spaceAt(s, 0) != 0 {
			t.Errorf("%U is white space in part", r)
		}
	}
	if want := readOracle(t).Spaces; !slices.Equal(got, want) {
		t.Errorf("%U, want %U", got, want)
	}
}

func TestDistinctByHand(t *testing.T) {
	for _, tc := range []struct {
		name  string
		texts []string
		want  float64
	}{
		{"nothing", nil, 0},
		{"too short", []string{"a b c", ""}, 0},
		{"one", []string{" a b c d "}, 1},
		{"twice the same", []string{"a b c d", "a b c d"}, 0.5},
		{"none crosses over", []string{"a b", "c d"}, 0},
		{"order counts", []string{"a b c d", "b a c d", "a b d c", "c d a b"}, 1},
		{"where words end counts", []string{"ab c d e", "a bc d e"}, 1},
		{"a loop", []string{strings.Repeat("a ", 103)}, 0.01},
		{"a loop of two", []string{strings.Repeat("a b ", 52)[:207]}, 2.0 / 101},
	} {
		var d Distinct
		for _, text := range tc.texts {
			d.Add(text)
		}
		near(t, tc.name, d.Share(), tc.want, 1e-15)
	}
}

// counted is the definition, with the words themselves.
func counted(texts []string) float64 {
	seen, total := map[[4]string]bool{}, 0
	for _, text := range texts {
		var words []string
		word := ""
		for i := 0; i < len(text); {
			n := spaceAt(text, i)
			if n == 0 {
				word += text[i : i+1]
				i++
				continue
			}
			if i += n; word != "" {
				words, word = append(words, word), ""
			}
		}
		if word != "" {
			words = append(words, word)
		}
		for i := range len(words) - 3 {
			seen[[4]string(words[i:i+4])] = true
			total++
		}
	}
	if total == 0 {
		return 0
	}
	return float64(len(seen)) / float64(total)
}

// Sets that grow, shrink and are used again; words of every length.
func TestDistinctCountsExactly(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var d Distinct
	for round, size := range []int{50_000, 3, 9_000, 0, 200, 40_000} {
		d.Reset()
		var texts []string
		for range 3 {
			var b strings.Builder
			for range size {
				b.WriteString(strings.Repeat(string(rune('a'+rng.IntN(3))), rng.IntN(40)))
				b.WriteByte(" \n"[rng.IntN(2)])
			}
			texts = append(texts, b.String())
			d.Add(b.String())
		}
		near(t, fmt.Sprintf("round %d", round), d.Share(), counted(texts), 0)
	}
}

func FuzzDistinct(f *testing.F) {
	f.Add("a b c d e a b c d", "\u3000x\u00a0\xc2\xe2\x80 \xe3\x80\x80")
	f.Fuzz(func(t *testing.T, a, b string) {
		var d Distinct
		d.Add(a)
		d.Add(b)
		if got, want := d.Share(), counted([]string{a, b}); got != want {
			t.Errorf("%v, want %v", got, want)
		}
	})
}

// The set holds the number that marks a free slot, too.
func TestHashesHoldZero(t *testing.T) {
	var h hashes
	h.add([]uint64{0, 5, 0, 1 << 40, 5})
	h.add([]uint64{0, 6})
	if h.count != 4 {
		t.Errorf("%d, want 4", h.count)
	}
	h.reset()
	h.add([]uint64{0})
	if h.count != 1 {
		t.Errorf("%d after a reset, want 1", h.count)
	}
}

func BenchmarkDistinct(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	words := make([]string, 20_000)
	for i := range words {
		words[i] = strings.Repeat("x", 1+rng.IntN(8)) + fmt.Sprint(i)
	}
	var texts []string
	for range 32 {
		var s strings.Builder
		for s.Len() < 100_000 {
			s.WriteString(words[rng.IntN(len(words))] + " ")
		}
		texts = append(texts, s.String())
	}
	b.SetBytes(int64(len(texts) * len(texts[0])))
	var d Distinct
	for b.Loop() {
		d.Reset()
		for _, text := range texts {
			d.Add(text)
		}
	}
}
