package vllm

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/goccy/go-json"
	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/internal/jsonscan"
)

// std is a completionReply as encoding/json reads it, with the one difference
// that is meant: null is no number.
type std struct {
	ID      string `json:"id"`
	Choices []struct {
		Index    *int   `json:"index"`
		Text     string `json:"text"`
		Logprobs *struct {
			TokenLogprobs stdFloats `json:"token_logprobs"`
		} `json:"logprobs"`
		FinishReason   string `json:"finish_reason"`
		TokenIDs       stdIDs `json:"token_ids"`
		PromptTokenIDs stdIDs `json:"prompt_token_ids"`
	} `json:"choices"`
}

type stdIDs []int32

func (l *stdIDs) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*l = nil
		return nil
	}
	return noNull(b, (*[]int32)(l))
}

type stdFloats []float32

func (l *stdFloats) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return errors.New("null")
	}
	return noNull(b, (*[]float32)(l))
}

func noNull[T any](b []byte, to *[]T) error {
	var all []*T
	if err := stdjson.Unmarshal(b, &all); err != nil {
		return err
	}
	*to = make([]T, len(all))
	for i, x := range all {
		if x == nil {
			return errors.New("null in an array of numbers")
		}
		(*to)[i] = *x
	}
	return nil
}

func (r *std) reply() *completionReply {
	out := &completionReply{ID: r.ID}
	if r.Choices != nil {
		out.Choices = make([]choice, len(r.Choices))
	}
	for i, c := range r.Choices {
		out.Choices[i] = choice{Index: c.Index, Text: c.Text, FinishReason: c.FinishReason, TokenIDs: c.TokenIDs, PromptTokenIDs: c.PromptTokenIDs}
		if c.Logprobs != nil {
			out.Choices[i].Logprobs = &logprobs{TokenLogprobs: c.Logprobs.TokenLogprobs}
		}
	}
	return out
}

// differs compares our reading with encoding/json's, in one piece and in pieces of some bytes.
func differs(b []byte, pieces int) error {
	var want std
	wanted := stdjson.Unmarshal(b, &want)
	for _, r := range []io.Reader{bytes.NewReader(b), &slow{b: b, n: pieces}} {
		var got completionReply
		err := got.ReadBody(r)
		if (err == nil) != (wanted == nil) {
			return fmt.Errorf("ours says %v, encoding/json %v", err, wanted) //nolint:errorlint // words for a test
		}
		if err != nil {
			continue
		}
		if diff := cmp.Diff(want.reply(), &got); diff != "" {
			return fmt.Errorf("(-encoding/json +ours)\n%s", diff)
		}
	}
	return nil
}

// slow gives n bytes a time, and its end with the last of them.
type slow struct {
	b []byte
	n int
}

func (s *slow) Read(p []byte) (int, error) {
	n := copy(p[:min(len(p), s.n)], s.b)
	if s.b = s.b[n:]; len(s.b) == 0 {
		return n, io.EOF
	}
	return n, nil
}

// odd are documents in which readers of JSON go wrong.
var odd = []string{
	``, ` `, `null`, ` null `, `nul`, `nulll`, `{}`, `{ }`, `[]`, `1`, `"x"`, `{"choices":null}`, `{"choices":[]}`, `{"choices":[ ]}`, `{"choices":{}}`, `{"choices":[null]}`,
	`{"choices":[{}]} x`, `{"choices":[{}]}{}`, `{"choices":[{},]}`, `{"choices":[,{}]}`, `{"choices":[{}`, `{"choices":[{}}`, `{,}`, `{"id":"a",}`, `{"id" : "a" , "choices" : [ ] }`,
	`{"ID":"a"}`, `{"Id":"a","id":"b"}`, `{"id":"b","ID":"a"}`, `{"\u0069d":"a"}`, `{"id":1}`, `{"id":null}`, `{"id":"a","id":null}`, `{id:"a"}`, `{"id"}`, `{"id":}`, `{'id':1}`, `{"":1}`,
	`{"choices":[{"index":1.0}]}`, `{"choices":[{"index":1e0}]}`, `{"choices":[{"index":-0}]}`, `{"choices":[{"index":01}]}`, `{"choices":[{"index":9223372036854775807}]}`, `{"choices":[{"index":9223372036854775808}]}`,
	`{"choices":[{"index":1,"index":null}]}`, `{"choices":[{"index":1,"index":2}]}`, `{"choices":[{"index":"1"}]}`, `{"choices":[{"index":+1}]}`, `{"choices":[{"index":.5}]}`, `{"choices":[{"index":1.}]}`,
	`{"choices":[{"token_ids":[1,2],"token_ids":[3]}]}`, `{"choices":[{"token_ids":[1],"token_ids":null}]}`, `{"choices":[{"token_ids":[1,null]}]}`, `{"choices":[{"token_ids":[2147483647,-2147483648]}]}`,
	`{"choices":[{"token_ids":[2147483648]}]}`, `{"choices":[{"token_ids":[999999999,1000000000]}]}`, `{"choices":[{"token_ids":[00]}]}`, `{"choices":[{"token_ids":[-]}]}`, `{"choices":[{"token_ids":[1 2]}]}`, `{"choices":[{"token_ids":[1,]}]}`,
	`{"choices":[{"token_ids":[1`, `{"choices":[{"token_ids":[1-2]}]}`, `{"choices":[{"token_ids":[true]}]}`, `{"choices":[{"token_ids":{}}]}`, `{"choices":[{"token_ids":[[1]]}]}`, `{"choices":[{"token_ids":[ 1 , 2 ]}]}`,
	`{"choices":[{"prompt_token_ids":[1,2]},{"prompt_token_ids":[1,2]},{"prompt_token_ids":[1]},{"prompt_token_ids":[]},{"prompt_token_ids":null}]}`,
	`{"choices":[{"logprobs":null}]}`, `{"choices":[{"logprobs":{}}]}`, `{"choices":[{"logprobs":{"token_logprobs":null}}]}`, `{"choices":[{"logprobs":{"token_logprobs":[]},"logprobs":{"x":1}}]}`, `{"choices":[{"logprobs":{"token_logprobs":[1]},"logprobs":null}]}`,
	`{"choices":[{"logprobs":{"token_logprobs":[-0.0,0,-1e-50,1e38,-4.639150142669678,-1.1920928955078125e-07,1e-45,3.4028235e38,1.17549435e-38,1E+2,1e-2]}}]}`,
	`{"choices":[{"logprobs":{"token_logprobs":[3.5e38]}}]}`, `{"choices":[{"logprobs":{"token_logprobs":[1e999]}}]}`, `{"choices":[{"logprobs":{"token_logprobs":[NaN]}}]}`, `{"choices":[{"logprobs":{"token_logprobs":[-Infinity]}}]}`,
	`{"choices":[{"logprobs":{"token_logprobs":[1e]}}]}`, `{"choices":[{"logprobs":{"token_logprobs":[1e+]}}]}`, `{"choices":[{"logprobs":{"token_logprobs":[0x1]}}]}`, `{"choices":[{"logprobs":{"token_logprobs":[1_0]}}]}`, `{"choices":[{"logprobs":{"token_logprobs":["1"]}}]}`,
	`{"choices":[{"logprobs":{"token_logprobs":[0.1` + strings.Repeat("0", 100) + `1]}}]}`, `{"choices":[{"logprobs":{"token_logprobs":[16777217.0,16777217.0000001,5.960464477539063e-08,0.50000002980232238769531250]}}]}`,
	`{"choices":[{"text":"\ud800"}]}`, `{"choices":[{"text":"\ud83d\ude00"}]}`, `{"choices":[{"text":"\ud83d\n"}]}`, `{"choices":[{"text":"\ud83d\ud83d\ude00"}]}`, `{"choices":[{"text":"\ud83dx"}]}`, `{"choices":[{"text":"\ude00\ud83d"}]}`, `{"choices":[{"text":"\ud83d\u0041"}]}`,
	"{\"choices\":[{\"text\":\"\xff\xfe\xc3\"}]}", "{\"choices\":[{\"text\":\"\xed\xa0\x80 \xe2\x82\"}]}", "{\"\xff\":1,\"choices\":[]}", "{\"choices\":[{\"text\":\"a\nb\"}]}", "{\"choices\":[{\"text\":\"\x00\"}]}", "{\"x\":\"\x1f\"}",
	`{"choices":[{"text":"\x"}]}`, `{"choices":[{"text":"\u12g4"}]}`, `{"choices":[{"text":"\u12"}]}`, `{"choices":[{"text":"\"\\\/\b\f\n\r\t\u00e9"}]}`, `{"choices":[{"text":"a`, `{"choices":[{"text":"a\`,
	`{"choices":[{"text":"a","text":"b"},{"text":"c"}],"choices":[{"finish_reason":"stop"}]}`, `{"choices":[{"text":"a"},{"text":"b"}],"choices":[]}`, `{"choices":[{"text":"a"}],"choices":[null,null,null]}`,
	`{"x":tru}`, `{"x":true,"y":false,"z":null}`, `{"x":truex}`, `{"x":[1,{"y":[]},"z"]}`, `{"x":[1,]}`, `{"x":{"y":1,}}`, `{"x":{"y"}}`, `{"x":{1:2}}`, `{"x":"\q"}`, `{"x":01}`, `{"x":-}`, `{"x":1.e1}`, `{"x":1` + strings.Repeat("0", 70000) + `}`,
	`{"x":` + strings.Repeat("[", 9999) + strings.Repeat("]", 9999) + `}`, `{"x":` + strings.Repeat("[", 10000) + strings.Repeat("]", 10000) + `}`, `{"x":` + strings.Repeat(`{"y":`, 9999) + `1` + strings.Repeat("}", 9999) + `}`, strings.Repeat("[", 1<<20),
	"\ufeff{}", "{}\x00", "{} \n\r\t", "{}\v", "{\"\u212a\":1,\"to\u212aen_ids\":2,\"choices\":[{\"to\u212aen_ids\":[3]}]}",
}

func TestReadsAsEncodingJSON(t *testing.T) {
	for _, doc := range append(slices.Clone(odd), reply) {
		for _, pieces := range []int{1, 7, 4096} {
			if err := differs([]byte(doc), pieces); err != nil {
				t.Errorf("%.80q in pieces of %d: %v", doc, pieces, err)
			}
		}
	}
}

// TestTruncatedRepliesAreCut: whatever is missing at its end, a reply is an
// error that is one of a connection that was cut.
func TestTruncatedRepliesAreCut(t *testing.T) {
	for i := range len(reply) {
		var got completionReply
		if err := got.ReadBody(strings.NewReader(reply[:i])); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("after %d bytes: %v, want an unexpected end", i, err)
		}
		broken := errors.New("the connection broke")
		if err := got.ReadBody(io.MultiReader(strings.NewReader(reply[:i]), iotest.ErrReader(broken))); !errors.Is(err, broken) {
			t.Fatalf("after %d bytes: %v, want the connection's error", i, err)
		}
	}
}

func FuzzReadsAsEncodingJSON(f *testing.F) {
	for i, doc := range odd {
		if len(doc) < 1000 {
			f.Add([]byte(doc), i%9+1)
		}
	}
	f.Add([]byte(reply), 5)
	f.Fuzz(func(t *testing.T, b []byte, pieces int) {
		if err := differs(b, 1+int(uint(pieces)%100)); err != nil {
			t.Error(err)
		}
	})
}

// made is a reply as vLLM writes it, of rollouts with tokens as a tokenizer has them.
func made(choices, tokens int) []byte {
	random := rand.New(rand.NewPCG(1, 2))
	words := []string{" the", "\n\n", " \\", "frac", "{", "}", " x", " =", " +", "1", "2", " so", " we", " compute", "é", "\"", " Therefore", ".", ",", " sum"}
	var b bytes.Buffer
	b.WriteString(`{"id":"cmpl-1","object":"text_completion","created":1795438822,"model":"tiny","choices":[`)
	for j := range choices {
		var text strings.Builder
		var ids, lps, toks, tops, offsets []string
		for range tokens {
			word := words[random.IntN(len(words))]
			quoted, _ := stdjson.Marshal(word)
			lp := strconv.FormatFloat(float64(float32(-random.ExpFloat64()*random.ExpFloat64())), 'g', -1, 64)
			ids = append(ids, strconv.Itoa(random.IntN(151936)))
			lps, toks, tops = append(lps, lp), append(toks, string(quoted)), append(tops, "{"+string(quoted)+":"+lp+"}")
			offsets = append(offsets, strconv.Itoa(text.Len()))
			text.WriteString(word)
		}
		quoted, _ := stdjson.Marshal(text.String())
		if j > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"index":%d,"text":%s,"logprobs":{"text_offset":[%s],"token_logprobs":[%s],"tokens":[%s],"top_logprobs":[%s]},"finish_reason":"length","stop_reason":null,"token_ids":[%s],"prompt_logprobs":null,"prompt_token_ids":[1,20,21],"routed_experts":null}`,
			j, quoted, strings.Join(offsets, ","), strings.Join(lps, ","), strings.Join(toks, ","), strings.Join(tops, ","), strings.Join(ids, ","))
	}
	b.WriteString(`],"usage":{"prompt_tokens":3}}`)
	return b.Bytes()
}

// BenchmarkReply compares readers of the same bytes into the same fields.
func BenchmarkReply(b *testing.B) {
	body := made(8, 15360)
	if path := os.Getenv("JUSTRL_REPLY"); path != "" { // a real one
		var err error
		if body, err = os.ReadFile(path); err != nil {
			b.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		read func() error
	}{
		{"encodingjson", func() error { return stdjson.Unmarshal(body, new(plain)) }},
		{"goccy", func() error { return json.Unmarshal(body, new(plain)) }},
		{"ours", func() error { return new(completionReply).ReadBody(bytes.NewReader(body)) }},
		{"skip", func() error {
			s := jsonscan.New(bytes.NewReader(body))
			defer s.Close()
			s.Skip()
			return s.End()
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := c.read(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// plain is a completionReply without any code of ours.
type plain struct {
	ID      string `json:"id"`
	Choices []struct {
		Index    *int   `json:"index"`
		Text     string `json:"text"`
		Logprobs *struct {
			TokenLogprobs []float32 `json:"token_logprobs"`
		} `json:"logprobs"`
		FinishReason   string  `json:"finish_reason"`
		TokenIDs       []int32 `json:"token_ids"`
		PromptTokenIDs []int32 `json:"prompt_token_ids"`
	} `json:"choices"`
}
