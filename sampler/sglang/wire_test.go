package sglang_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/sglang"
	"github.com/justrl/justrl/sampler/sglang/sglangtest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// What is sent, to the byte: a field that is left out is another distribution.
func TestRequests(t *testing.T) {
	for _, c := range []struct {
		name string
		o    sglang.Options
		do   func(t *testing.T, g *sglang.Generator, s *sglang.Scorer) error
	}{
		{"samples.json", sglang.Options{Seeds: true}, func(t *testing.T, g *sglang.Generator, _ *sglang.Scorer) error {
			r := request(3, 8)
			r.First, r.Count, r.Params.N = 1, 2, 3
			r.Params.StopTokenIDs = []int32{7, 9}
			_, err := g.Generate(t.Context(), r)
			return err
		}},
		{"unseeded.json", sglang.Options{}, func(t *testing.T, g *sglang.Generator, _ *sglang.Scorer) error {
			r := request(1, 8)
			r.Params = sampler.Params{N: 1, Temperature: 0.7, TopP: 0.9, TopK: 20, MinP: 0.1, MaxTokens: 1000}
			_, err := g.Generate(t.Context(), r)
			return err
		}},
		{"score.json", sglang.Options{}, func(t *testing.T, _ *sglang.Generator, s *sglang.Scorer) error {
			_, err := s.Score(t.Context(), [][]int32{{3, 4, 5}})
			return err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			fake, g, s := open(t, sglangtest.Options{}, c.o)
			if err := c.do(t, g, s); err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			if err := json.Indent(&got, fake.Requests("/generate")[0].Body, "", " "); err != nil {
				t.Fatal(err)
			}
			got.WriteByte('\n')
			path := filepath.Join("testdata", c.name)
			if *update {
				if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatalf("%v (write it with -update)", err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", path, diff)
			}
		})
	}
}
