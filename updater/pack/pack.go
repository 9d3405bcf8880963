// Package pack groups sequences into packs: rows of whole sequences end to
// end, without padding, each at most a budget of tokens long.
package pack

import (
	"cmp"
	"slices"
)

// FirstFitDecreasing places sequences, the longest first and of equal ones
// the earlier first, each into the first pack with room for it (Johnson 1973:
// at most 11/9 of the fewest possible packs, plus 6/9). A sequence longer
// than budget gets a pack of its own.
//
// The result lists the indices of each pack, ascending, and the packs by
// their first index. Every index occurs once; the same input gives the same
// packs. lengths and budget are in tokens; nil for no sequences.
func FirstFitDecreasing(lengths []int, budget int) [][]int {
	order := make([]int, len(lengths))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(lengths[b], lengths[a]) })
	var packs [][]int
	var room []int
	for _, i := range order {
		// A sequence of its own leaves room below 0, which fits nothing.
		at := slices.IndexFunc(room, func(r int) bool { return r >= lengths[i] })
		if at < 0 {
			packs, room = append(packs, nil), append(room, budget)
			at = len(packs) - 1
		}
		packs[at] = append(packs[at], i)
		room[at] -= lengths[i]
	}
	for _, p := range packs {
		slices.Sort(p)
	}
	slices.SortFunc(packs, func(a, b []int) int { return cmp.Compare(a[0], b[0]) })
	return packs
}
