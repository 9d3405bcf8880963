package config

// Problems says how a row of a data file becomes a problem. Empty fields are as
// JustRL's data have it: the columns of DAPO-Math-17k or of MathArena, and the
// paper's sentence. What a column may look like is said in package
// sampler/dataset, which also checks it.
type Problems struct {
	Question    string   `yaml:"question" about:"column of the question, like prompt[0].content or qa.text; empty = prompt[0].content, else problem"`
	Answer      string   `yaml:"answer" about:"column of the ground truth; empty = reward_model.ground_truth, else answer"`
	ID          string   `yaml:"id" about:"column of the problem's name; empty = extra_info.index, extra_info.id, id or problem_idx, else the row's number"`
	Choices     []string `yaml:"choices" about:"column that is a list of choices, or one column a choice; they are shown as lines A., B. …, and the ground truth is a letter; none = no choices"`
	AnswerIs    string   `yaml:"answer_is" about:"with choices, what the answer's column has: letter, index (from 0), number (from 1), text; empty = letter"`
	Instruction string   `yaml:"instruction" about:"text after the question and an empty line, or with {{question}} (and {{choices}}) in it the whole message; empty = the paper's sentence"`
}

// IsZero tells whether nothing is set.
func (p Problems) IsZero() bool {
	return p.Question == "" && p.Answer == "" && p.ID == "" && len(p.Choices) == 0 && p.AnswerIs == "" && p.Instruction == ""
}
