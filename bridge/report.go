package bridge

// Report is what a load looked like, for the run's records. Log-probs are
// natural; differences are in nats a token, over all tokens of all probes.
type Report struct {
	Version int64 `json:"version"`
	// Passed: no part of the canary failed on any server.
	Passed bool `json:"passed"`
	// Changed: the snapshot's bytes differ from the last live one's.
	Changed bool           `json:"changed"`
	Servers []ServerReport `json:"servers"`
}

// ServerReport is one deployment's part of a Report.
type ServerReport struct {
	Server string `json:"server"`
	// Error says why the load did not pass; what comes below is then only what
	// was seen until it failed.
	Error string `json:"error,omitempty"`
	// Inconclusive names the parts that could not tell: what changed is too
	// small to be seen. They are judged again, over the sum of the changes,
	// after the next load.
	Inconclusive []Part `json:"inconclusive"`

	Tokens      int     `json:"tokens"`       // probe tokens scored
	EqualTokens int     `json:"equal_tokens"` // whose log-prob on the server stayed bit-equal
	IdleShift   float64 `json:"idle_shift"`   // max: the server before this load against after the last one

	ServerMoved  float64 `json:"server_moved"`  // rms over the load
	TrainerMoved float64 `json:"trainer_moved"` // rms, since Direction was last conclusive
	// Direction is the server's movement projected on the trainer's: 1 where
	// the server moved as the trainer did, 0 where it did not; null when the
	// trainer has not moved enough to tell.
	Direction *float64 `json:"direction"`

	DiffMedian float64 `json:"diff_median"` // |server - trainer| after the load
	DiffMax    float64 `json:"diff_max"`
	// CacheDiffMax is |through the prefix cache - afresh|; null if the server cannot be asked.
	CacheDiffMax *float64 `json:"cache_diff_max"`
	// Checksums counts the server's tensors by what their checksum did over the load; null if it offers none.
	Checksums *Checksums `json:"checksums"`

	LoadS   float64 `json:"-"` // seconds from pause to resume; records keep what a clock decides apart
	CanaryS float64 `json:"-"` // seconds for everything around it
}

// complete fills in what every outcome has.
func (r *ServerReport) complete(server string, err error) {
	r.Server = server
	if r.Inconclusive == nil {
		r.Inconclusive = []Part{} // an empty list in JSON
	}
	if err != nil {
		r.Error = err.Error()
	}
}

// Checksums compares a server's checksums of its own tensors before and after a load.
type Checksums struct {
	Equal   int `json:"equal"`
	Changed int `json:"changed"`
	Hidden  int `json:"hidden"` // of tensors whose bytes the server cannot see
}

// Noise is what the same weights give at the start of a run: the measure of
// everything that comes later.
type Noise struct {
	Median float64 `json:"diff_median"` // |server - trainer|
	RMS    float64 `json:"diff_rms"`
	Max    float64 `json:"diff_max"`
	// Repeat and TrainerRepeat are the greatest difference between two scorings
	// on the same side; 0 on a server whose results depend on the weights alone.
	Repeat           float64 `json:"server_repeat_max"`
	RepeatRMS        float64 `json:"server_repeat_rms"`
	TrainerRepeat    float64 `json:"trainer_repeat_max"`
	TrainerRepeatRMS float64 `json:"trainer_repeat_rms"`
	Cache            float64 `json:"cache_diff_max"` // |through the prefix cache - afresh|
}

// Limits say how much of the noise is still noise. The zero value is the default.
type Limits struct {
	// StartMedian and StartMax bound |server - trainer| at the start, where
	// there is nothing to compare with; 0 is 0.05 and 1 nats, which a bf16
	// server passes and another checkpoint rarely does.
	StartMedian, StartMax float64
	// MedianFactor and MaxFactor bound it later, as multiples of the start's; 0 is 4 and 10.
	MedianFactor, MaxFactor float64
	// MinDirection is the least Direction that passes; 0 is 0.5.
	MinDirection float64
}

func (l Limits) withDefaults() Limits {
	for _, f := range []struct {
		field *float64
		value float64
	}{{&l.StartMedian, 0.05}, {&l.StartMax, 1}, {&l.MedianFactor, 4}, {&l.MaxFactor, 10}, {&l.MinDirection, 0.5}} {
		if *f.field == 0 {
			*f.field = f.value
		}
	}
	return l
}
