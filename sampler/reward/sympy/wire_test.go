package sympy

import (
	"bytes"
	"testing"
)

// Whatever a worker says: no panic, no more than was asked for, and only an
// answer to this question.
func FuzzReadAnswer(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x07n\x00\x00\x00\x03abc"), uint32(7), 100)
	f.Add([]byte("\x00\x00\x00\x07n\xff\xff\xff\xffabc"), uint32(7), 100)
	f.Add([]byte("\x00\x00\x00\x08n\x00\x00\x00\x00"), uint32(7), 0)
	f.Add([]byte("\x00\x00"), uint32(0), 0)
	f.Fuzz(func(t *testing.T, said []byte, number uint32, most int) {
		if most < 0 || most > 1<<20 {
			t.Skip()
		}
		r := bytes.NewReader(said)
		kind, text, err := readAnswer(r, number, most)
		if err != nil {
			return
		}
		again := appendText([]byte{byte(number >> 24), byte(number >> 16), byte(number >> 8), byte(number), kind}, string(text))
		if len(text) > most || !bytes.Equal(again, said[:len(said)-r.Len()]) {
			t.Errorf("%q read as %q", said, again)
		}
	})
}
