package sets

import "strings"

// nearest are the sets that begin so or, where none does, those whose names are
// the fewest edits away, letters and digits alone counted, and no more than a
// third of the name; none if all are further.
func nearest(name string) []string {
	if found := beginning(plain(name)); len(found) > 0 {
		return found
	}
	best, found := len(name)+100, []string(nil)
	for _, s := range table {
		d := distance(plain(name), plain(s.Name))
		switch {
		case d > len(plain(s.Name))/3 || d > best:
			continue
		case d < best:
			best, found = d, nil
		}
		found = append(found, s.Name)
	}
	return found
}

// beginning are the sets whose names begin with at least three letters.
func beginning(start string) (found []string) {
	for _, s := range table {
		if len(start) >= 3 && strings.HasPrefix(plain(s.Name), start) {
			found = append(found, s.Name)
		}
	}
	return found
}

// plain is a name without what people write in different ways.
func plain(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(name))
}

// distance is Levenshtein's: how many bytes to put in, take out or replace.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := corner
			if a[i] != b[j] {
				cost++
			}
			corner = row[j+1]
			row[j+1] = min(cost, row[j]+1, corner+1)
		}
	}
	return row[len(b)]
}
