package dataset

import "testing"

func TestPromptsCarryTheInstructionOnce(t *testing.T) {
	const sentence = `Please reason step by step, and put your final answer within \boxed{}.`
	tests := []struct{ name, question, training, evaluation string }{
		{"bare", "What?", "What?\n\n" + sentence, "What? " + sentence},
		{"its own spaces stay", " What?", " What?\n\n" + sentence, " What? " + sentence},
		{"already for training", "What?\n\n" + sentence, "What?\n\n" + sentence, "What? " + sentence},
		{"already for evaluation", "What? " + sentence + "\n", "What?\n\n" + sentence, "What? " + sentence},
		{"in the middle it is text", sentence + " Why?", sentence + " Why?\n\n" + sentence, sentence + " Why? " + sentence},
		{"as DAPO publishes it",
			"Solve the following math problem step by step. The last line of your response should be of the form Answer: $Answer (without quotes) where $Answer is the answer to the problem.\n\nWhat?\n\nRemember to put your answer on its own line after \"Answer:\".",
			"What?\n\n" + sentence, "What? " + sentence},
		{"half of DAPO's is text", "What?\n\nRemember to put your answer on its own line after \"Answer:\".",
			"What?\n\nRemember to put your answer on its own line after \"Answer:\".\n\n" + sentence,
			"What?\n\nRemember to put your answer on its own line after \"Answer:\". " + sentence},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if got := TrainingPrompt(tc.question); got != tc.training {
				t.Errorf("training: %q, want %q", got, tc.training)
			}
			if got := EvaluationPrompt(tc.question); got != tc.evaluation {
				t.Errorf("evaluation: %q, want %q", got, tc.evaluation)
			}
			if got := TrainingPrompt(TrainingPrompt(tc.question)); got != tc.training {
				t.Errorf("twice: %q", got)
			}
		})
	}
}

// The authors append without trimming, and so a problem's last line break stays.
func TestPromptsKeepTheQuestionAsItIs(t *testing.T) {
	if got, want := EvaluationPrompt("What?\n"), "What?\n "+Instruction; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := TrainingPrompt("What?\n"), "What?\n\n\n"+Instruction; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
