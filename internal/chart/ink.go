package chart

import (
	"fmt"
	"image/color"
	"math"
	"strconv"
)

// Ink is what a mark is drawn with. The plots know inks and no colours: the
// page's style sheet gives each a colour, in light and in dark.
type Ink int

const (
	inkText Ink = iota
	inkAxis
	inkGrid
	ink1
	ink2
	ink3
	ink4
	ink5
	ink6
	band1 // the areas that go with the lines
	band2
	band3
	band4
	band5
	band6
	pale1 // the single steps under a running mean
	pale2
	pale3
	pale4
	layer1 // areas that stand for themselves
	layer2
	layer3
	layer4
	inks
)

// Class is the ink's name in the style sheet.
func (i Ink) Class() string {
	switch {
	case i == inkText:
		return "text"
	case i == inkAxis:
		return "axis"
	case i == inkGrid:
		return "grid"
	case i < band1:
		return fmt.Sprintf("c%d", i-ink1+1)
	case i < pale1:
		return fmt.Sprintf("band%d", i-band1+1)
	case i < layer1:
		return fmt.Sprintf("pale%d", i-pale1+1)
	default:
		return fmt.Sprintf("layer%d", i-layer1+1)
	}
}

// Line is the ink of the i-th of several lines; they begin anew after six.
func Line(i int) Ink { return ink1 + Ink(i%6) }

// beneath is the ink of what goes with a line: base is band1, pale1 or layer1.
func (i Ink) beneath(base Ink) Ink {
	n := Ink(4)
	if base == band1 {
		n = 6
	}
	return base + (i-ink1)%n
}

// inkStep keeps the placeholders apart by more than the plot library's rounding.
const inkStep = 8

// placeholder is the colour that stands for an ink while a plot is drawn.
func (i Ink) placeholder() color.Color { return color.NRGBA{R: uint8(i * inkStep), B: 255, A: 255} }

// inkOf finds the ink that a colour of a drawn plot (#RRGGBB) stands for.
func inkOf(hex string) (Ink, error) {
	n, err := strconv.ParseUint(hex[min(1, len(hex)):], 16, 32)
	if err != nil || len(hex) != 7 || hex[0] != '#' || n>>8&0xff != 0 || n&0xff < 250 {
		return 0, fmt.Errorf("%q is no ink", hex)
	}
	i := Ink(math.Round(float64(n>>16) / inkStep))
	if i >= inks {
		return 0, fmt.Errorf("%q is no ink", hex)
	}
	return i, nil
}

// Classes are those that a drawing (fill-…, stroke-…) and its legend (key-…) can have.
func Classes() []string {
	var all []string
	for i := range inks {
		class := "fill-" + i.Class()
		if i == inkAxis || i == inkGrid {
			class = "stroke-" + i.Class()
		}
		all = append(all, class)
		if i >= ink1 && (i < pale1 || i >= layer1) {
			all = append(all, "key-"+i.Class())
		}
	}
	return all
}
