package jsonscan_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/justrl/justrl/internal/jsonscan"
)

func TestParseFloat32(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	check := func(text string) {
		t.Helper()
		want, err := strconv.ParseFloat(text, 32)
		got, ours := jsonscan.ParseFloat32([]byte(text))
		if (err == nil) != (ours == nil) || err == nil && math.Float32bits(got) != math.Float32bits(float32(want)) {
			t.Fatalf("%s: %v (%v), strconv has %v (%v)", text, got, ours, float32(want), err)
		}
	}
	for range 20_000 {
		x := math.Float32frombits(random.Uint32())
		if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
			continue
		}
		d := float64(x)
		check(strconv.FormatFloat(d, 'g', -1, 64)) // as a server writes it
		check(strconv.FormatFloat(d, 'g', -1, 32))
		// Exactly between two, and next to it.
		middle := (d + float64(math.Nextafter32(x, 0))) / 2
		for _, y := range []float64{middle, math.Nextafter(middle, 0), math.Nextafter(middle, math.Inf(1))} {
			check(strconv.FormatFloat(y, 'g', -1, 64))
			check(strconv.FormatFloat(y, 'e', 18, 64))
		}
		check(fmt.Sprintf("%d.%de%d", random.IntN(1000), random.Uint64(), random.IntN(90)-50))
	}
	for _, bad := range []string{"", "-", "+1", "01", ".5", "1.", "1e", "1e+", "1x", " 1", "1 ", "NaN", "Inf", "0x1p3", "1_0", "--1", "1e5.5", "3.5e38", "-1e40", "1e99999"} {
		if x, err := jsonscan.ParseFloat32([]byte(bad)); err == nil {
			t.Errorf("%q is %v", bad, x)
		}
	}
}

func TestDiagnoses(t *testing.T) {
	for _, c := range []struct {
		doc  string
		read func(*jsonscan.Scanner)
		want string
	}{
		{`[1]`, func(s *jsonscan.Scanner) { s.Object(func([]byte) { s.Skip() }) }, "byte 0: an array in the place of an object"},
		{` "x"`, func(s *jsonscan.Scanner) { s.Array(func(int) { s.Skip() }) }, "byte 1: a string in the place of an array"},
		{`[1,null]`, func(s *jsonscan.Scanner) { s.Int32s(nil) }, "byte 3: null in the place of a number"},
		{`[1,1e400]`, func(s *jsonscan.Scanner) { s.Float32s(nil) }, `byte 8: element 1: "1e400" is beyond a float32`},
		{`[1,2.5]`, func(s *jsonscan.Scanner) { s.Int32s(nil) }, `"2.5" is no whole number of the range`},
		{`true`, func(s *jsonscan.Scanner) { s.Int() }, "a boolean in the place of a number"},
		{`7`, func(s *jsonscan.Scanner) { _ = s.String() }, "a number in the place of a string"},
		{`<html>`, func(s *jsonscan.Scanner) { s.Skip() }, "byte 0: invalid character '<' looking for beginning of value"},
		{`{"a":1 "b":2}`, func(s *jsonscan.Scanner) { s.Skip() }, `byte 7: invalid character '"' after object key:value pair`},
		{"[1\x10]", func(s *jsonscan.Scanner) { s.Skip() }, `byte 2: invalid character '\x10' after array element`},
		{"{\"a\":[[]\x00", func(s *jsonscan.Scanner) { s.Skip() }, `byte 8: invalid character '\x00' after array element`},
		{"{\"a\":{} \x1f}", func(s *jsonscan.Scanner) { s.Skip() }, `byte 8: invalid character '\x1f' after object key:value pair`},
		{`{} {}`, func(s *jsonscan.Scanner) { s.Skip() }, "byte 3: invalid character '{' after the top-level value"},
		{`[1,2`, func(s *jsonscan.Scanner) { s.Skip() }, "byte 4: the JSON ends in the middle: unexpected EOF"},
		{strings.Repeat("[", 20000), func(s *jsonscan.Scanner) { s.Skip() }, "exceeded max depth"},
		{`"` + strings.Repeat("x", 1<<17) + "\n", func(s *jsonscan.Scanner) { s.Skip() }, `byte 131073: invalid character '\n' in string literal`},
	} {
		for name, r := range map[string]io.Reader{"whole": strings.NewReader(c.doc), "bytes": iotest.OneByteReader(strings.NewReader(c.doc))} {
			s := jsonscan.New(r)
			c.read(s)
			err := s.End()
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%.20q, %s: %v, want %q", c.doc, name, err, c.want)
			}
			if again := s.End(); !errors.Is(again, err) {
				t.Errorf("%.20q: the failure became %v", c.doc, again)
			}
			s.Close()
		}
	}
}

func TestReadersThatNeverGive(t *testing.T) {
	s := jsonscan.New(never{})
	defer s.Close()
	if s.Skip(); !errors.Is(s.End(), io.ErrNoProgress) {
		t.Errorf("error %v", s.End())
	}
}

type never struct{}

func (never) Read([]byte) (int, error) { return 0, nil }

// FuzzSkip: what is skipped is valid JSON, no more and no less.
func FuzzSkip(f *testing.F) {
	for _, doc := range []string{`{"a":[1,2.5e-3,"x\u00e9\n",true,false,null]}`, `[`, `"\ud800"`, "\"\xff\"", `-`, `01`, `[[]]`, ` 1 `, "[[[]\x10", "{\"a\":[1]\x00}"} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s := jsonscan.New(strings.NewReader(string(b)))
		defer s.Close()
		s.Skip()
		if err := s.End(); (err == nil) != json.Valid(b) {
			t.Errorf("%q: %v, encoding/json says %v", b, err, json.Valid(b))
		}
		s.Reset(strings.NewReader(string(b)))
		got := s.Text(nil)
		var want string
		if err := json.Unmarshal(b, &want); string(b) != "null" && strings.TrimSpace(string(b)) != "null" && (err == nil) != (s.End() == nil) {
			t.Errorf("%q as text: %v, encoding/json says %v", b, s.End(), err)
		} else if err == nil && s.End() == nil && string(got) != want {
			t.Errorf("%q is %q, encoding/json has %q", b, got, want)
		}
	})
}

// FuzzParseFloat32: a number is strconv's, or none of JSON's.
func FuzzParseFloat32(f *testing.F) {
	for _, text := range []string{"-4.639150142669678", "1e-45", "16777217.0000001", "0", "-0.0", "3.4028236e38"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var number json.Number
		isJSON := json.Unmarshal([]byte(text), &number) == nil && string(number) == text
		want, err := strconv.ParseFloat(text, 32)
		got, ours := jsonscan.ParseFloat32([]byte(text))
		if (ours == nil) != (isJSON && err == nil) || ours == nil && math.Float32bits(got) != math.Float32bits(float32(want)) {
			t.Errorf("%q: %v (%v), strconv has %v (%v), JSON %v", text, got, ours, want, err, isJSON)
		}
	})
}
