package chart

import (
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/internal/numerals"
)

// Each ink comes through a drawing as its own class.
func TestInksSurviveADrawing(t *testing.T) {
	for i := range inks {
		if got := Line(0).beneath(band1); got != band1 {
			t.Fatalf("under the first line lies %d", got)
		}
		f := Figure{Title: "t", Unit: "u", XMax: 2, Format: numerals.Plain, Curves: []Curve{{Name: "c", Ink: i, X: []float64{0, 1, 2}, Y: []float64{1, 2, math.NaN()}}}}
		svg, err := f.draw(Size{300, 200}, "plot")
		if err != nil {
			t.Fatalf("%s: %v", i.Class(), err)
		}
		for _, class := range []string{`class="stroke-` + i.Class() + `"`, `class="fill-` + i.Class() + `"`} {
			if !strings.Contains(svg, class) {
				t.Errorf("no %s in %s", class, svg)
			}
		}
	}
}

// What is not of the plot library's ways is refused: it could be anything.
func TestInlineRefuses(t *testing.T) {
	for name, svg := range map[string]string{
		"no XML":              `<svg><g></svg>`,
		"a script":            `<svg><script>x</script></svg>`,
		"an image":            `<svg><image href="x"/></svg>`,
		"a handler":           `<svg><g onload="x"></g></svg>`,
		"a colour of its own": `<svg><path d="M0,0" style="fill:#FF0000"/></svg>`,
		"black by default":    `<svg><path d="M0,0" style="stroke:#0800FF"/></svg>`,
		"no style":            `<svg><path d="M0,0"/></svg>`,
		"an unknown property": `<svg><path d="M0,0" style="fill:none;filter:url(x)"/></svg>`,
		"a colour by name":    `<svg><path d="M0,0" style="fill:red"/></svg>`,
	} {
		if got, err := inline([]byte(svg), "plot", ""); err == nil {
			t.Errorf("%s: passed as %s", name, got)
		}
	}
	got, err := inline([]byte(`<?xml version="1.0"?><!-- x --><svg width="1pt" height="1pt" viewBox="0 0 1 1" xmlns="http://www.w3.org/2000/svg">
<g transform="scale(1, -1)"><text x="1" y="2" style="font-family:Serif;font-size:11px;fill:#0000FF">&lt;a &amp; b&gt;</text></g></svg>`), "plot", `"quoted" <label>`)
	want := `<svg viewBox="0 0 1 1" class="plot" role="img" aria-label="&#34;quoted&#34; &lt;label&gt;"><g transform="scale(1, -1)"><text x="1" y="2" font-size="11px" class="fill-text">&lt;a &amp; b&gt;</text></g></svg>`
	if err != nil || got != want {
		t.Errorf("%v\n got %s\nwant %s", err, got, want)
	}
}

// Curves that no axis likes: each gives a drawing without a hole in its numbers.
func TestOddCurves(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for name, y := range map[string][]float64{
		"one value": {3}, "always the same": {2, 2, 2}, "always nothing": {0, 0, 0}, "gaps": {1, nan, 2, nan, nan, 3}, "infinite": {inf, 1, -inf},
		"nothing": {nan, nan}, "enormous": {1e300, -1e300}, "too large": {1e308, -1e308}, "tiny": {5e-324, 1e-320}, "close together": {1e16, 1e16 + 2}, "negative": {-1, -2, -3},
	} {
		for _, f := range []Figure{{}, {Zero: true}, {Log: true}, {Stacked: true}, {Fixed: true, Low: -1, High: 1}} {
			f.Title, f.Unit, f.Format, f.XMax = "t", "u", numerals.Plain, float64(len(y))
			x := make([]float64, len(y))
			for i := range x {
				x[i] = float64(i + 1)
			}
			f.Curves = []Curve{{Name: "c", Ink: ink1, X: x, Y: y, Lower: y, Upper: y}, {Name: "d", Ink: ink2, X: x, Y: y, Dots: true}}
			svg, err := f.draw(Size{360, 220}, "plot")
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
				t.Errorf("%s, log %t, stacked %t: there is no such place: %.2000s", name, f.Log, f.Stacked, svg)
			}
		}
	}
}

var number = regexp.MustCompile(`<text[^>]*>([^<]+)</text>`)

// The axes' marks are round, few, and at both ends of the values.
func TestMarks(t *testing.T) {
	f := Figure{Title: "t", Unit: "u", X: "step", XMax: 30, Format: numerals.Plain, Zero: true, Curves: []Curve{{Name: "c", Ink: ink1, X: []float64{1, 2, 30}, Y: []float64{0.03, 0.11, 0.208}}}}
	svg, err := f.draw(Size{360, 220}, "plot")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range number.FindAllStringSubmatch(svg, -1) {
		got = append(got, m[1])
	}
	want := []string{"step", "0", "5", "10", "15", "20", "25", "30", "0", "0.1", "0.2", "0.3"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestPowers(t *testing.T) {
	var got []string
	for _, m := range (powers{5}).Ticks(-7, -4) {
		got = append(got, m.Label)
	}
	if d := cmp.Diff([]string{"10⁻⁷", "10⁻⁶", "10⁻⁵", "10⁻⁴"}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// Thinning keeps order, both ends and every extreme of the curve.
func TestThin(t *testing.T) {
	var points []point
	for i := range 10000 {
		points = append(points, point{float64(i), math.Sin(float64(i) / 300)})
	}
	points[1234].y, points[7777].y = 9, -9
	got := thin(points, most)
	if len(got) > most || len(got) < most/4 {
		t.Errorf("%d points are left of %d", len(got), len(points))
	}
	seen := map[point]bool{}
	for i, p := range got {
		seen[p] = true
		if i > 0 && got[i-1].x >= p.x {
			t.Fatalf("point %d is at %g, after one at %g", i, p.x, got[i-1].x)
		}
	}
	for _, i := range []int{0, 1234, 7777, 9999} {
		if !seen[points[i]] {
			t.Errorf("point %d is gone", i)
		}
	}
	if short := thin(points[:100], most); len(short) != 100 {
		t.Errorf("a short curve lost %d points", 100-len(short))
	}
}

func TestRunsCutAtGaps(t *testing.T) {
	nan := math.NaN()
	got := runs([]float64{0, 1, 2, 3, 4, nan}, []float64{5, nan, 7, 8, math.Inf(1), 9})
	want := [][]point{{{0, 5}}, {{2, 7}, {3, 8}}}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(point{})); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// The running mean against its definition.
func TestSmooth(t *testing.T) {
	y := []float64{1, 2, math.NaN(), 4, 5, 9, -3, 0.5, 7}
	const window = 5
	got := smooth(y, window)
	for i := range y {
		sum, n := 0.0, 0.0
		for j := max(0, i-window/2); j <= min(len(y)-1, i+window/2); j++ {
			if !math.IsNaN(y[j]) {
				sum, n = sum+y[j], n+1
			}
		}
		want := sum / n
		if math.IsNaN(y[i]) {
			want = math.NaN()
		}
		if math.IsNaN(got[i]) != math.IsNaN(want) || math.Abs(got[i]-want) > 1e-12 {
			t.Errorf("at %d: %g, want %g", i, got[i], want)
		}
	}
}

// Where there is no half, none is marked.
func TestWholeTicks(t *testing.T) {
	for high := 1.0; high <= 2000; high++ {
		marks := ticks{count: 6, whole: true}.Ticks(0, high)
		if len(marks) < 2 && high > 1 {
			t.Errorf("up to %g: %v", high, marks)
		}
		for _, m := range marks {
			if m.Value != math.Trunc(m.Value) {
				t.Errorf("up to %g: %v", high, marks)
				break
			}
		}
	}
}
