package vllm

import (
	"bytes"
	"strings"
	"testing"
)

// FuzzEvents: whatever a stream says, it is an error or whole events, and the
// same in pieces of any size.
func FuzzEvents(f *testing.F) {
	for _, body := range []string{
		"data: {\"id\":\"a\",\"choices\":[{\"index\":0,\"text\":\"x\",\"token_ids\":[1,2]}]}\n\ndata: [DONE]\n\n",
		"data:{\"choices\":[]}\r\n\r\n: ping\ndata: [DONE]\n", "data: {\"error\":{\"message\":\"m\",\"code\":\"x\"}}\n", "data: {\"error\":null}\n", "event: x\n\n", "", "data", "data: null\n",
		"data: {\"choices\":[{\"text\":\"" + strings.Repeat("x", 70000) + "\"}]}\ndata: [DONE]\n",
	} {
		f.Add([]byte(body), 3)
	}
	f.Fuzz(func(t *testing.T, b []byte, pieces int) {
		read := func(e *events, r *slow) (n int, texts string, err error) {
			e.choice = func(c *choice) error {
				n++
				texts += c.Text + "\x00"
				return nil
			}
			err = e.ReadBody(r)
			return n, texts, err
		}
		whole, parts := &events{}, &events{}
		n, texts, err := read(whole, &slow{b: b, n: 1 << 20})
		m, pieceTexts, pieceErr := read(parts, &slow{b: b, n: 1 + int(uint(pieces)%50)})
		if n != m || texts != pieceTexts || (err == nil) != (pieceErr == nil) || whole.id != parts.id {
			t.Errorf("whole: %d choices, %v; in pieces: %d, %v", n, err, m, pieceErr)
		}
		if err == nil && !bytes.Contains(b, []byte("[DONE]")) {
			t.Error("a stream without an end has ended well")
		}
	})
}
