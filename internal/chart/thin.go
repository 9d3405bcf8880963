package chart

import (
	"math"

	"github.com/justrl/justrl/internal/numerals"
)

// most is how many points a curve is drawn with at most: more than a plot has
// pixels across shows nothing more.
const most = 600

// point is a place on a curve in the units of its axes.
type point struct{ x, y float64 }

// runs cuts a curve where a value is missing or infinite, and thins out what is left.
func runs(x, y []float64) [][]point {
	var all [][]point
	var current []point
	for i := range y {
		if !numerals.Finite(x[i]) || !numerals.Finite(y[i]) {
			if current != nil {
				all, current = append(all, current), nil
			}
			continue
		}
		current = append(current, point{x[i], y[i]})
	}
	if current != nil {
		all = append(all, current)
	}
	total := 0
	for _, r := range all {
		total += len(r)
	}
	if total > most {
		for i := range all {
			all[i] = thin(all[i], max(4, most*len(all[i])/total))
		}
	}
	return all
}

// thin keeps about n points so that nothing that can be seen is lost: of each
// stretch of the curve its first, least, greatest and last value, in order.
func thin(points []point, n int) []point {
	stretches := max(1, n/4)
	if len(points) <= 4*stretches {
		return points
	}
	kept := make([]point, 0, 4*stretches)
	for s := range stretches {
		from, to := s*len(points)/stretches, (s+1)*len(points)/stretches
		low, high := from, from
		for i := from; i < to; i++ {
			if points[i].y < points[low].y {
				low = i
			}
			if points[i].y > points[high].y {
				high = i
			}
		}
		last := -1
		for _, i := range []int{from, min(low, high), max(low, high), to - 1} {
			if i != last {
				kept = append(kept, points[i])
			}
			last = i
		}
	}
	return kept
}

// smooth is the running mean of so many values around each one; missing ones
// are left out and stay missing.
func smooth(y []float64, window int) []float64 {
	out := make([]float64, len(y))
	sum, n := 0.0, 0
	add := func(i, sign int) {
		if i >= 0 && i < len(y) && numerals.Finite(y[i]) {
			sum += float64(sign) * y[i]
			n += sign
		}
	}
	half := window / 2
	for i := range half {
		add(i, 1)
	}
	for i := range y {
		add(i+half, 1)
		add(i-half-1, -1)
		out[i] = math.NaN()
		if n > 0 && numerals.Finite(y[i]) {
			out[i] = sum / float64(n)
		}
	}
	return out
}
