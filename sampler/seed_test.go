package sampler

import "testing"

// TestRowSeedGolden pins the seeds: a change of any of them changes what every
// recorded run sampled. The values were computed by an independent program.
func TestRowSeedGolden(t *testing.T) {
	for _, c := range []struct {
		run     int64
		step    int
		ordinal int64
		want    int64
	}{
		{0, 0, 0, 624691647844299},
		{0, 0, 1, 830313685675111},
		{0, 1, 0, 1212055207021671},
		{1, 0, 0, 3123301010823384},
		{42, 0, 0, 1742777206276615},
		{42, 4379, 1121279, 2902656671073639},
		{-1, 0, 0, 4433516239872066},
		{9223372036854775807, 2147483648, 9223372036854775807, 3755867048923007},
	} {
		if got := RowSeed(c.run, c.step, c.ordinal); got != c.want {
			t.Errorf("RowSeed(%d, %d, %d) = %d, want %d", c.run, c.step, c.ordinal, got, c.want)
		}
	}
}

// TestRowSeedStreamsApart checks that no two rows of a long run share a stream
// of random numbers, and that all seeds leave room for the samples' indices.
func TestRowSeedStreamsApart(t *testing.T) {
	const steps, rows, n = 200, 256, 8
	seen := make(map[int64]bool, steps*rows*n)
	for step := range steps {
		for row := range rows {
			seed := RowSeed(42, step, int64(step*rows+row))
			if seed < 0 || seed >= 1<<52 {
				t.Fatalf("seed %d is outside [0, 2^52)", seed)
			}
			for j := range int64(n) {
				if seen[seed+j] {
					t.Fatalf("stream %d is used twice", seed+j)
				}
				seen[seed+j] = true
			}
		}
	}
}

func TestStepSeeds(t *testing.T) {
	if got, want := StepSeeds(7, 3)(Row{Ordinal: 11}), RowSeed(7, 3, 11); got != want {
		t.Errorf("StepSeeds gives %d, want %d", got, want)
	}
}
