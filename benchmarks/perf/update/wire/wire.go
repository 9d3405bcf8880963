// Package wire is what the benchmark of the updater and its contenders tell each
// other: the settings as the one argument, then a line of JSON each way a step.
// contender.py is the same for those in Python.
package wire

// Settings are what a contender is started with.
type Settings struct {
	Model      string  `json:"model"`
	Rollouts   string  `json:"rollouts"`
	Threads    int     `json:"threads"`
	MiniBatch  int     `json:"mini_batch"`
	PackTokens int     `json:"pack_tokens"`
	Recompute  bool    `json:"recompute"`
	LR         float64 `json:"lr"`
	Head       string  `json:"head"`             // of packed PyTorch
	KeepHeap   bool    `json:"keep_heap"`        // of packed PyTorch
	Device     string  `json:"device,omitempty"` // of the updater; "" is the CPU
	DType      string  `json:"dtype,omitempty"`  // of the updater; "" is float32
}

// Groups is a question: a training step on from ≤ group < to.
type Groups struct {
	From int `json:"from"`
	To   int `json:"to"`
}

// Step is a contender's answer.
type Step struct {
	Seconds float64 `json:"seconds"`
	// OldSeconds are those of the old log-probs, FirstOldSeconds of the first
	// mini-batch's alone, which another may take from its first forward pass;
	// 0 where the contender does not tell.
	OldSeconds      float64   `json:"old_seconds,omitempty"`
	FirstOldSeconds float64   `json:"first_old_seconds,omitempty"`
	Losses          []float64 `json:"losses"` // of each update
	GradNorms       []float64 `json:"grad_norms"`
}
