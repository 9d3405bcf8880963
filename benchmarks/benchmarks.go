// Package benchmarks measures models on sets of problems without training them:
// this package has the words, the folders below it do the work.
//
//	set ─▶ evaluate ─▶ generations ─▶ grade (rule, then judge) ─▶ metrics ─▶ report
//
// What is measured is defined by the authors' evaluation (thunlp/JustRL, folder
// evals, commit cf444e9920b599c865ee6742c88dc162dcabcec2), its files included.
package benchmarks

// Problem is a row of a set.
type Problem struct {
	ID       int    // the row's number in its file, from 0: a generation's example_id
	Question string // as the file has it, white space around it removed, without an instruction
	Answer   string // the ground truth, white space around it removed
	// Message is the whole of the user's message where the set has one of its own,
	// which no paper's template makes; "" where a template makes it.
	Message string
	// Columns are the other columns with one value a row, as text: what results
	// can be broken down by. Shared, not to be changed.
	Columns map[string]string
}

// Generation is one sampled answer: a line of a generations file. The first five
// fields are the authors'; their files have no others.
type Generation struct {
	ExampleID int    `json:"example_id"`
	Prompt    string `json:"prompt"` // the user's message, instruction included
	Answer    string `json:"answer"` // the ground truth
	Seed      int64  `json:"seed"`   // distinct for each repeat of a problem
	Response  string `json:"response"`

	FinishReason string `json:"finish_reason,omitempty"` // stop or length; "" where the file does not say
	Tokens       int    `json:"tokens,omitempty"`        // of the response; 0 where the file does not say
}

// Verdict is what a generation was found to be: a line of verdicts.jsonl.
type Verdict struct {
	ExampleID int    `json:"example_id"`
	Sample    int    `json:"sample"` // index among its problem's generations, in file order
	Seed      int64  `json:"seed"`
	Answer    string `json:"answer"` // what the rules took as the answer; "" if they found none
	Truth     string `json:"ground_truth"`
	Correct   bool   `json:"correct"`
	By        string `json:"by"`                  // who decided: ByRule or ByJudge
	Judgement string `json:"judgement,omitempty"` // the judge's: A, B, C, or "?" for anything else
	Error     string `json:"error,omitempty"`     // why a verifier gave no verdict; Correct is false then
	TimedOut  bool   `json:"timed_out,omitempty"` // it took too long, says Error
}

// Who decides on a generation.
const (
	ByRule  = "rule"
	ByJudge = "judge"
)
