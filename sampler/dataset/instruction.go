package dataset

import (
	"errors"
	"strings"

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

// The places of a template that [Ask] fills.
const (
	questionPlace = "{question}"
	choicesPlace  = "{choices}"
)

// Ask is the user's message of a problem, its choices included, with an
// instruction: "" is [Instruction], as [TrainingPrompt] has it; a text follows
// after an empty line; one with {question} in it is the whole message, in which
// {choices} stands for the lettered lines, which else follow the question.
func Ask(p sampler.Problem, instruction string) string {
	question := p.Question
	if p.Choices != "" && !strings.Contains(instruction, choicesPlace) {
		question = strings.TrimRight(question, "\n") + "\n" + p.Choices
	}
	switch {
	case instruction == "":
		return TrainingPrompt(question)
	case strings.Contains(instruction, questionPlace):
		return strings.NewReplacer(questionPlace, question, choicesPlace, p.Choices).Replace(instruction)
	}
	return question + "\n\n" + instruction
}

// CheckInstruction says what is wrong with an instruction for [Ask]; nil if nothing is.
func CheckInstruction(instruction string) error {
	if strings.Contains(instruction, choicesPlace) && !strings.Contains(instruction, questionPlace) {
		return errors.New("has {choices} but not {question}")
	}
	return nil
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
