package localserver

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

// randomText has characters of one to four bytes, and bytes that are none.
func randomText(rng *rand.Rand) []byte {
	var b []byte
	for range rng.IntN(40) {
		switch rng.IntN(8) {
		case 0:
			b = append(b, "é"...)
		case 1:
			b = append(b, "😀"...)
		case 2:
			b = append(b, byte(0x80+rng.IntN(128)))
		default:
			b = append(b, byte('a'+rng.IntN(3)))
		}
	}
	return b
}

// TestStreamedTextIsTheText: what is told piece by piece is the text, and the
// text is what there was before the stop string that ends first.
func TestStreamedTextIsTheText(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	stopped := 0
	for range 20000 {
		raw := randomText(rng)
		var p params
		p.includeStop = rng.IntN(3) == 0
		for range rng.IntN(4) {
			p.stop = append(p.stop, []string{"a", "ab", "bca", "é", "cc", "é😀", "aaa", "c"}[rng.IntN(8)])
		}
		w := newWriter(byteTokens{}, p)
		told, done := "", false
		read := 0
		for _, c := range raw {
			read++
			if done = w.add(int32(c)+3, false); done {
				break
			}
			told += w.delta(false)
			for _, stop := range p.stop { // nothing of a stop string is told too early
				if strings.HasSuffix(told, stop) && !p.includeStop {
					t.Fatalf("%q: %q was told before %q ended the sample", raw, told, stop)
				}
			}
		}
		told += w.delta(true)
		if told != string(w.text) {
			t.Fatalf("%q, stops %q: told %q, the text is %q", raw, p.stop, told, w.text)
		}
		if !utf8.ValidString(told) {
			t.Fatalf("%q: told %q", raw, told)
		}
		whole := strings.ToValidUTF8(string(raw[:read]), "\uFFFD")
		if done {
			stopped++
			want := whole
			if p.includeStop {
				if !strings.HasSuffix(want, *w.stop) {
					t.Fatalf("%q: ended by %q", raw, *w.stop)
				}
			} else {
				want = strings.TrimSuffix(want, *w.stop)
			}
			if told != want {
				t.Fatalf("%q, stops %q: told %q, want %q", raw, p.stop, told, want)
			}
			continue
		}
		for _, stop := range p.stop {
			if strings.Contains(told, stop) {
				t.Fatalf("%q: %q is in the text and ended nothing", raw, stop)
			}
		}
		if rest := strings.TrimPrefix(whole, told); !strings.HasPrefix(whole, told) || strings.Trim(rest, "\uFFFD") != "" {
			t.Fatalf("%q: told %q of %q", raw, told, whole)
		}
	}
	if stopped < 1000 {
		t.Errorf("only %d samples were stopped", stopped)
	}
}

// TestStopTokenHasNoText: a token that ends a sample is no part of its text.
func TestStopTokenHasNoText(t *testing.T) {
	for _, include := range []bool{false, true} {
		w := newWriter(byteTokens{}, params{includeStop: include, skipSpecial: true})
		w.add('a'+3, false)
		w.add('b'+3, true)
		if want := map[bool]string{false: "a", true: "ab"}[include]; w.delta(true) != want {
			t.Errorf("include_stop_str_in_output %v: %q, want %q", include, w.text, want)
		}
	}
}

// TestEndlessBrokenText: bytes that never become a character are not held back for ever.
func TestEndlessBrokenText(t *testing.T) {
	w := newWriter(byteTokens{}, params{})
	for range 10 * maxPending {
		w.add(0xff+3, false)
	}
	if len(w.pending) >= maxPending || len(w.text) == 0 {
		t.Errorf("%d tokens held back, text %q", len(w.pending), w.text)
	}
}

func TestSpelling(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"letters", "ab", "a|b"},
		{"a character of two bytes", "aéb", "a||é|b"},
		{"of four", "😀!", "|||😀|!"},
		{"half a character", "a\xc3", "a|"},
		{"half a character before a whole one", "\xc3a", "|a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &speller{tok: byteTokens{}}
			var got []string
			for i := range len(c.text) {
				id := int32(c.text[i]) + 3
				got = append(got, p.text(id))
				p.next(id)
			}
			if strings.Join(got, "|") != c.want {
				t.Errorf("spelled %q, want %q", got, c.want)
			}
		})
	}
}
