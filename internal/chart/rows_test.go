package chart

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/justrl/justrl/internal/numerals"
)

func rowsOf(values ...Value) Rows {
	return Rows{Title: "t", Unit: "u", Format: numerals.Plain, Series: []Series{{Name: "a", Ink: Line(0)}, {Name: "b", Ink: Line(4), Hollow: true}}, Groups: []Group{{Name: "g", Values: values}}}
}

// Values and ranges that no axis likes: each gives a drawing without a hole in its numbers.
func TestOddRows(t *testing.T) {
	for _, x := range []float64{0, 1, -1, 1e300, 1e308, 5e-324, math.NaN(), math.Inf(1), math.Inf(-1)} {
		for _, y := range []float64{0, 2, math.NaN(), math.Inf(1)} {
			d := rowsOf(Value{At: x, Low: y, High: x, Least: x, Most: y}, Value{Series: 1, At: y})
			for _, fixed := range []bool{false, true} {
				if fixed {
					d.Low, d.High = 0, 100
				}
				v, err := d.View(true)
				if err != nil {
					t.Fatalf("%g, %g: %v", x, y, err)
				}
				for _, svg := range []string{string(v.Wide), string(v.Narrow)} {
					if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
						t.Errorf("%g, %g: there is no such place: %.2000s", x, y, svg)
					}
				}
			}
		}
	}
}

// A row says in words what it shows, and has a dot or a ring in its ink.
func TestRows(t *testing.T) {
	d := rowsOf(Value{At: 40, Low: 30, High: 50, Annotation: "95 %: "}, Value{Series: 1, At: 52.5})
	d.Low, d.High = 0, 100
	d.Groups[0].Name = strings.Repeat("<g>", 20)
	v, err := d.View(false)
	if err != nil {
		t.Fatal(err)
	}
	svg := string(v.Narrow)
	for _, want := range []string{
		`aria-label="t, u. &lt;g&gt;`, "a 40 (95 %: 30 to 50), b 52.5.", `class="stroke-c1"`, `class="fill-c1"`, `class="stroke-c5"`, ">100</text>", "&lt;g&gt;&lt;g&gt;&lt;g&gt;&lt;g&gt;&lt;g&gt;&lt;g&gt;&lt;g&gt;…</text>",
	} {
		if !strings.Contains(svg, want) {
			t.Errorf("the drawing has no %s: %s", want, svg)
		}
	}
	if strings.Contains(svg, `class="fill-c5"`) {
		t.Error("a ring is filled")
	}
	if got := fmt.Sprint(v.Legend); got != "[{key-c1 dot a } {key-c5 dot hollow b }]" {
		t.Errorf("the legend is %s", got)
	}
	if !rowsOf(Value{At: math.NaN()}).Empty() || d.Empty() {
		t.Error("what is empty is not, or the other way round")
	}
}
