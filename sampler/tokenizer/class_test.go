package tokenizer

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestUnicodeAsHuggingFace compares the class and the normal forms of every
// code point with digests of what Hugging Face's libraries, and Python, gave.
// Next to others, normal forms are those of the code points that make_golden.py
// calls assigned: all others have no properties, and the test is 5 times faster.
func TestUnicodeAsHuggingFace(t *testing.T) {
	raw, err := os.ReadFile("testdata/unicode.json")
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]struct{ SHA256 string }
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	is := func(cs ...class) func(rune) string {
		return func(r rune) string {
			for _, c := range cs {
				if got, _ := classAt(string(r), 0); got == c {
					return string(r)
				}
			}
			return ""
		}
	}
	assigned := func(r rune) bool { return r < 0x32400 || 0xe0000 <= r && r < 0xe0200 }
	tests := map[string]func(r rune) string{
		"letter": is(letter),
		"number": is(number),
		"space":  is(space, newline),
		"digit": func(r rune) string {
			if isDigit(r) {
				return string(r)
			}
			return ""
		},
		"pyspace": func(r rune) string {
			if pyIsSpace(string(r)) {
				return string(r)
			}
			return ""
		},
		"nfc_alone":  func(r rune) string { return nfc(string(r)) + "\n" },
		"nfc_before": func(r rune) string { return nfc("x"+string(r)+"\u0345\u0301") + "\n" },
		"nfc_after":  func(r rune) string { return nfc("e\u0345\u0301"+string(r)) + "\n" },
		"nfc_low":    func(r rune) string { return nfc("e"+string(r)+"\u0334\u05b0") + "\n" },
	}
	for name, f := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := !strings.HasPrefix(name, "nfc_") || name == "nfc_alone"
			h := sha256.New()
			for r := rune(0); r <= 0x10ffff; r++ {
				if utf8.ValidRune(r) && (all || assigned(r)) {
					h.Write([]byte(f(r)))
				}
			}
			if got := hex.EncodeToString(h.Sum(nil)); got != want[name].SHA256 {
				t.Errorf("digest %s, want %s: Go's Unicode tables have changed, or Hugging Face's", got, want[name].SHA256)
			}
		})
	}
}
