package metrics

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// oracle is testdata/oracle.json, which oracle.py made.
type oracle struct {
	Spaces   []int
	Distinct []struct {
		Texts []string
		Share float64
	}
	Rates []struct {
		A, B          []float64
		Difference, P float64
		Interval      Interval
		AInterval     Interval `json:"a_interval"`
	}
	Votes []struct {
		Answers        []string
		Correct        []bool
		Majority, Pass []float64
	}
	Lengths   []float64
	Quantiles []int
}

func readOracle(t *testing.T) (o oracle) {
	t.Helper()
	b, err := os.ReadFile("testdata/oracle.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &o); err != nil {
		t.Fatal(err)
	}
	if len(o.Distinct) < 40 || len(o.Rates) != 3 || len(o.Votes) < 40 || len(o.Spaces) < 20 || len(o.Lengths) < 100 {
		t.Fatal("the oracle is not whole")
	}
	return o
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s is %.12g, want %.12g", what, got, want)
	}
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 77)) }
