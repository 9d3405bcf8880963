package rule

import "strings"

const boxOpen = `\boxed{`

// extract takes the answer out of s: what stands in its last \boxed, up to the
// brace that matches the first one after it. Not found if there is no \boxed, its
// braces never match, or it is not followed by a brace at once.
func extract(s string) (answer string, found bool) {
	start := strings.LastIndex(s, `\boxed`)
	if start < 0 {
		return "", false
	}
	s = s[start:]
	open := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '{':
			open++
		case '}':
			// A closing brace before any opening one counts too, as in the definition:
			// open is below 0 then, and the text behind cannot begin with boxOpen.
			if open--; open == 0 {
				if !strings.HasPrefix(s, boxOpen) {
					return "", false
				}
				return s[len(boxOpen):i], true
			}
		}
	}
	return "", false
}
