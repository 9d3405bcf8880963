// Package grade finds verdicts: a [Grader] has a verifier first, and a judge
// about what that rejects. An evaluation hands it answers as they come; [File]
// grades those of a generations file.
//
// A file's answers are graded at once, in no order, and the verdicts are in file
// order. It is read problem by problem (see generations.Index), so that memory is
// bounded by the answers that are being graded and one problem's 4-grams a reader.
//
// A verifier that fails or takes too long has said nothing about the answer:
// the verdict then has an error, unless the judge decides. A judge that fails
// ends the grading: it is a server, and what it was asked is asked again.
package grade
