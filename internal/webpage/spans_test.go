package webpage

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestSpans(t *testing.T) {
	long := strings.Repeat("é", 4000)
	for _, tc := range []struct {
		name, text string
		want       []Span
	}{
		{"nothing", "", nil},
		{"no box", "a\n b", []Span{{Text: "a\n b"}}},
		{"a box", `so \boxed{4} is it`, []Span{{Text: "so "}, {Text: `\boxed{4}`, Boxed: true}, {Text: " is it"}}},
		{"the last of two", `\boxed{1} \boxed{2}`, []Span{{Text: `\boxed{1} `}, {Text: `\boxed{2}`, Boxed: true}}},
		{"braces in it", `\boxed{\frac{1}{2}}.`, []Span{{Text: `\boxed{\frac{1}{2}}`, Boxed: true}, {Text: "."}}},
		{"never closed", `\boxed{1} \boxed{2`, []Span{{Text: `\boxed{1} \boxed{2`}}},
		{"a long text", long + `\boxed{7}`, []Span{{Text: long[:1500]}, {Text: "2,504", Left: true}, {Text: long[6508:]}, {Text: `\boxed{7}`, Boxed: true}}},
	} {
		got := Spans(tc.text)
		if d := cmp.Diff(tc.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, d)
		}
	}
}

// Whatever the answer: its characters, all or its beginning and end, in order.
func FuzzSpans(f *testing.F) {
	for _, s := range []string{`\boxed{1}`, `\boxed{\boxed{`, strings.Repeat(`x\boxed{`, 900), strings.Repeat("€", 2000) + `\boxed{a}`, "\xff\xfe"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var before, after strings.Builder
		left, boxes := false, 0
		for _, s := range Spans(text) {
			switch {
			case s.Left:
				left = true
				continue
			case s.Boxed:
				boxes++
			}
			if left {
				after.WriteString(s.Text)
			} else {
				before.WriteString(s.Text)
			}
			if utf8.ValidString(text) && !utf8.ValidString(s.Text) {
				t.Errorf("a character was cut: %q", s.Text)
			}
		}
		if !left && before.String() != text {
			t.Errorf("%q became %q", text, before.String())
		}
		if !strings.HasPrefix(text, before.String()) || !strings.HasSuffix(text, after.String()) || before.Len()+after.Len() > len(text) {
			t.Errorf("%q became %q … %q", text, before.String(), after.String())
		}
		if boxes > 2 {
			t.Errorf("%d pieces are marked", boxes)
		}
	})
}
