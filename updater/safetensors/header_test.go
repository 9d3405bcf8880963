package safetensors

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadHeader(t *testing.T) {
	b := three()
	h, err := readHeader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	want := []entry{
		{Info{Name: "m", DType: "BF16", Shape: []int64{2, 3}}, 0, 12},
		{Info{Name: "empty", DType: "F32", Shape: []int64{0, 7}}, 12, 12},
		{Info{Name: "s", DType: "I64", Shape: []int64{}}, 12, 20},
	}
	if d := cmp.Diff(want, h.entries, cmp.AllowUnexported(entry{})); d != "" {
		t.Errorf("entries (-want +got):\n%s", d)
	}
	if d := cmp.Diff(map[string]string{"format": "pt"}, h.metadata); d != "" {
		t.Errorf("metadata (-want +got):\n%s", d)
	}
	if want := int64(len(b) - 20); h.data != want {
		t.Errorf("data begins at %d, want %d", h.data, want)
	}
}

func TestReadHeaderFaults(t *testing.T) {
	whole := three()
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"empty file":               {nil, "truncated: 0 bytes"},
		"cut in the length":        {whole[:5], "truncated: 5 bytes"},
		"cut in the header":        {whole[:50], "truncated: its header alone needs"},
		"cut in the data":          {whole[:len(whole)-1], "truncated: header says"},
		"bytes after the data":     {append(three(), 0), "damaged: header says"},
		"garbage":                  {[]byte("version https://git-lfs.github.com/spec/v1"), "not a safetensors file"},
		"length 0":                 {file("", 0), "header length of 0"},
		"length beyond any header": {append(binary.LittleEndian.AppendUint64(nil, 1<<63), whole...), "header length of 9223372036854775808"},
		"not an object":            {file(`[1,2]`, 0), "does not begin with {"},
		"space before the object":  {file(` {}`, 0), "does not begin with {"},
		"not JSON":                 {file(`{"a":`, 0), "unexpected EOF"},
		"not UTF-8":                {file("{\"\xff\":1}", 0), "not valid UTF-8"},
		"something after it":       {file(`{} {}`, 0), "other than padding"},
		"padding of line breaks":   {file("{}\n", 0), "other than padding"},
		"twice a name":             {file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, 2), `"a" occurs twice`},
		"twice a key":              {file(`{"a":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}}`, 1), `"dtype" occurs twice`},
		"twice the metadata":       {file(`{"__metadata__":{},"__metadata__":{}}`, 0), "occurs twice"},
		"metadata not strings":     {file(`{"__metadata__":{"n":1}}`, 0), "string was expected"},
		"tensor not an object":     {file(`{"a":3}`, 0), "{ was expected"},
		"unknown key":              {file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"scale":1}}`, 1), `unknown key "scale"`},
		"unknown dtype":            {file(`{"a":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}}`, 1), `unknown dtype "F4"`},
		"dtype in lower case":      {file(`{"a":{"dtype":"f32","shape":[1],"data_offsets":[0,4]}}`, 4), `unknown dtype "f32"`},
		"no shape":                 {file(`{"a":{"dtype":"U8","data_offsets":[0,1]}}`, 1), "is missing"},
		"null shape":               {file(`{"a":{"dtype":"U8","shape":null,"data_offsets":[0,1]}}`, 1), "[ was expected"},
		"null in the shape":        {file(`{"a":{"dtype":"U8","shape":[null],"data_offsets":[0,0]}}`, 0), "integer was expected"},
		"fraction in the shape":    {file(`{"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}}`, 1), "integer was expected"},
		"negative shape":           {file(`{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}}`, 1), "negative dimension"},
		"negative beside zero":     {file(`{"a":{"dtype":"U8","shape":[0,-1],"data_offsets":[0,0]}}`, 0), "negative dimension"},
		"shape that overflows":     {file(`{"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`, 0), "too large"},
		"shape beyond int64":       {file(`{"a":{"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,0]}}`, 0), "integer was expected"},
		"size not the shape's":     {file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,3]}}`, 3), "needs 4 bytes, data_offsets [0 3] hold 3"},
		"offsets backwards":        {file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}}`, 1), "are not [begin, end]"},
		"negative offset":          {file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[-1,0]}}`, 1), "are not [begin, end]"},
		"three offsets":            {file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}}`, 1), "are not [begin, end]"},
		"hole at the start":        {file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, 2), `1 bytes before tensor "a" belong to no tensor`},
		"hole between":             {file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}`, 3), "belong to no tensor"},
		"overlap":                  {file(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, 3), `tensor "b" overlaps`},
		"the same bytes":           {file(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}`, 2), "overlaps"},
		"empty tensor inside another": {file(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[0],"data_offsets":[1,1]}}`, 2),
			"overlaps"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readHeader(bytes.NewReader(c.file), int64(len(c.file)))
			wantError(t, err, c.want)
		})
	}
}

// FuzzHeader reads foreign bytes as a file. What is let through must lie
// inside the file, without gaps, and come out the same when it is written and
// read again.
func FuzzHeader(f *testing.F) {
	f.Add(three())
	f.Add(one("a", 3))
	f.Add(file(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, 3))
	f.Add(file(`{}`, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := readHeader(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		at, l := h.data, FileLayout{Metadata: h.metadata}
		for _, e := range h.entries {
			if h.data+e.begin != at {
				t.Fatalf("%q begins at %d, the one before ends at %d", e.Name, h.data+e.begin, at)
			}
			at = h.data + e.end
			l.Tensors = append(l.Tensors, e.Info)
		}
		if at != int64(len(b)) {
			t.Fatalf("tensors end at %d, the file at %d", at, len(b))
		}
		head, err := encodeHeader(l)
		if err != nil {
			t.Fatal(err)
		}
		again, err := readHeader(bytes.NewReader(append(head, b[h.data:]...)), int64(len(head))+at-h.data)
		if err != nil {
			t.Fatalf("written again: %v\n%s", err, head)
		}
		if d := cmp.Diff(h.entries, again.entries, cmp.AllowUnexported(entry{})); d != "" {
			t.Errorf("written again (-first +again):\n%s", d)
		}
	})
}
