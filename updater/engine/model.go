package engine

// BlockTokens is the number of tokens that one block of a Model's cache holds.
const BlockTokens = 16

// Model is a decoder with a paged cache of keys and values. The engine calls
// its methods from one goroutine, one at a time; whoever made it closes it,
// after the engine.
//
// What a row's logits are must depend on the tokens of its sequence up to it,
// and on nothing else: not on the rows beside it, nor on which blocks hold the
// sequence, nor on how many passes its cache was filled in.
type Model interface {
	// Vocab is the number of logits of a row.
	Vocab() int
	// Blocks is the number of blocks in the cache; block b holds the slots
	// [b·BlockTokens, (b+1)·BlockTokens).
	Blocks() int
	// Forward runs the batch's rows: it fills their slots of the cache, then
	// b.Logits. An error leaves the cache of the batch's slots undefined.
	Forward(b *Batch) error
	// Draw fills in what the draws leave open, from b.Logits after Forward.
	Draw(b *Batch, draws []Draw)
	// Copy copies what block `from` holds into block `to`.
	Copy(from, to int32)
	// Load replaces the weights by those of a folder: all of them, or, on an
	// error, none. What the cache holds is then worthless.
	Load(dir string) error
	// Checksums are the SHA-256 of the weights in hex, by tensor name.
	Checksums() (map[string]string, error)
}

// Batch is one pass through a Model: T rows, each a token of some sequence.
// Rows of one sequence come in the order of their positions. V is the
// vocabulary, W the number of wanted rows.
type Batch struct {
	IDs       []int32 // [T]
	Positions []int32 // [T] in the sequence, from 0
	Slots     []int32 // [T] where the row's keys and values go
	// Tables holds the sequences' blocks, end to end; the row's sequence
	// begins at Starts[row] and reaches to the block of its position.
	Tables []int32
	Starts []int32 // [T]
	Want   []int32 // [W] rows whose logits are wanted, ascending
	Logits []float32
	// Adjusted are rows of logits [·,V] that the engine changed, to draw from.
	Adjusted []float32
}

func (b *Batch) reset() {
	b.IDs, b.Positions, b.Slots = b.IDs[:0], b.Positions[:0], b.Slots[:0]
	b.Tables, b.Starts, b.Want = b.Tables[:0], b.Starts[:0], b.Want[:0]
	b.Adjusted = b.Adjusted[:0]
}

// Draw asks for one token, from the distribution of a row of Batch.Logits.
type Draw struct {
	Row      int // of Batch.Logits; Logprob and Rank are of this row as it is
	Adjusted int // row of Batch.Adjusted to draw from instead; -1 is none
	// Given asks for no drawing: ID is there already.
	Given bool

	Temperature float64 // 0 takes the most likely token, the one with the lowest id of equals
	MinP        float64 // tokens less likely than this share of the most likely one are left out; 0 is off
	TopK        int     // then all but the k most likely; -1 is off
	TopP        float64 // then all but the fewest with this share of the rest; 1 is off
	Uniform     float64 // in [0, 1): where in the distribution, by ascending id

	// Processed asks for the log-prob under the distribution that was drawn
	// from, where Temperature is not 0.
	Processed bool

	ID      int32
	Rank    int     // 1 + the tokens that are more likely
	Logprob float64 // natural, at temperature 1 unless Processed; NaN if the row has a logit that is not finite
}
