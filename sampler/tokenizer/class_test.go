package tokenizer

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
)

// TestUnicodeAsHuggingFace compares the class and the normal forms of every
// code point with digests of what Hugging Face's libraries gave.
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
		"nfc_alone":  func(r rune) string { return nfc(string(r)) + "\n" },
		"nfc_before": func(r rune) string { return nfc("x"+string(r)+"\u0345\u0301") + "\n" },
		"nfc_after":  func(r rune) string { return nfc("e\u0345\u0301"+string(r)) + "\n" },
		"nfc_low":    func(r rune) string { return nfc("e"+string(r)+"\u0334\u05b0") + "\n" },
	}
	for name, f := range tests {
		t.Run(name, func(t *testing.T) {
			h := sha256.New()
			for r := rune(0); r <= 0x10ffff; r++ {
				if r < 0xd800 || r > 0xdfff {
					h.Write([]byte(f(r)))
				}
			}
			if got := hex.EncodeToString(h.Sum(nil)); got != want[name].SHA256 {
				t.Errorf("digest %s, want %s: Go's Unicode tables have changed, or Hugging Face's", got, want[name].SHA256)
			}
		})
	}
}
