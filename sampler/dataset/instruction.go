package dataset

import (
	"errors"
	"strings"

	"github.com/justrl/justrl/internal/prompt"
	"github.com/justrl/justrl/sampler"
)

// Instruction is the sentence that asks for a boxed answer, the only
// instruction of JustRL.
const Instruction = `Please reason step by step, and put your final answer within \boxed{}.`

// TrainingPrompt is the user's message of training: the question and, after
// an empty line, the [Instruction]. A question that already ends with the
// instruction does not get a second one.
func TrainingPrompt(question string) string {
	return bare(question) + "\n\n" + Instruction
}

// EvaluationPrompt is the user's message of the benchmarks: as the authors'
// evaluation script has it, the [Instruction] follows after one space.
func EvaluationPrompt(question string) string {
	return bare(question) + " " + Instruction
}

// Message makes the user's message of a problem. It is safe for concurrent use;
// the zero value is that of training, see [TrainingPrompt].
type Message struct {
	t       *prompt.Template // nil: the paper's instruction
	whole   bool             // t is the whole message, not what follows the question
	choices bool             // t has a place for them, which else follow the question
}

// ParseMessage reads an instruction: "" is [Instruction]; a text follows the
// question and its choices after an empty line; one with {{question}} in it (see
// package prompt) is the whole message, in which {{choices}} stands for the
// lettered lines.
func ParseMessage(instruction string) (Message, error) {
	if instruction == "" {
		return Message{}, nil
	}
	t, err := prompt.Parse("", instruction, "question", "choices")
	if err != nil {
		return Message{}, err
	}
	m := Message{t: t, whole: !t.Plain()}
	if m.whole && !t.Holds("question") {
		return Message{}, errors.New("has places but not always {{question}}")
	}
	m.choices = m.whole && t.Holds("choices")
	return m, nil
}

// Of is the message of a problem, its choices included.
func (m Message) Of(p sampler.Problem) (string, error) {
	question := p.Question
	if !m.choices {
		question = WithChoices(p)
	}
	if m.t == nil {
		return TrainingPrompt(question), nil
	}
	text, err := m.t.Fill(map[string]string{"question": question, "choices": p.Choices})
	if !m.whole {
		text = question + "\n\n" + text
	}
	return text, err
}

// WithChoices is the question of a problem, followed by the lines of its choices
// if it has any.
func WithChoices(p sampler.Problem) string {
	if p.Choices == "" {
		return p.Question
	}
	return strings.TrimRight(p.Question, "\n") + "\n" + p.Choices
}

// What surrounds every problem of DAPO-Math-17k as published. It asks for
// another form of answer than the box that the reward looks for.
const (
	dapoHead = "Solve the following math problem step by step. The last line of your response should be of the form " +
		"Answer: $Answer (without quotes) where $Answer is the answer to the problem.\n\n"
	dapoTail = "\n\nRemember to put your answer on its own line after \"Answer:\"."
)

// bare is a message without the instruction it may carry already: the
// [Instruction] at its end together with the line breaks or spaces that set it
// off, or DAPO's around it. Any other text is returned as it is.
func bare(message string) string {
	if s, ok := strings.CutSuffix(strings.TrimRight(message, " \n"), Instruction); ok {
		message = strings.TrimRight(s, " \n")
	}
	if s, ok := strings.CutPrefix(message, dapoHead); ok {
		if s, ok := strings.CutSuffix(strings.TrimRight(s, " \n"), dapoTail); ok {
			message = s
		}
	}
	return message
}
