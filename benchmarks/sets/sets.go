// Package sets has the nine benchmarks of the paper: what they are, where their
// files come from, and how they are read.
//
// The project does not contain them. Their files are the authors' own (folder data
// of thunlp/JustRL, at one commit), fetched at first use, and held to their
// SHA-256: a verdict is on a problem, and a problem's number is its row's.
package sets

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// Commit is the state of thunlp/JustRL that the files are of.
const Commit = "cf444e9920b599c865ee6742c88dc162dcabcec2"

// Origin is the address below which the files are, as data/NAME/test.parquet.
const Origin = "https://raw.githubusercontent.com/thunlp/JustRL/" + Commit

// OriginEnv names the environment variable that puts a mirror in Origin's place.
const OriginEnv = "JUSTRL_BENCHMARKS_URL"

// Set is one benchmark.
type Set struct {
	Name           string `json:"name"`
	K              int    `json:"k"`               // answers a problem in the paper: results are avg@k
	QuestionColumn string `json:"question_column"` // as [dataset.Scalars] names columns
	AnswerColumn   string `json:"answer_column"`
	Rows           int    `json:"rows"`
	Size           int64  `json:"bytes"` // of the file
	SHA256         string `json:"sha256"`
}

// The two schemas of the files: verl's and MathArena's.
const (
	verlQuestion, verlAnswer   = "prompt[0].content", "reward_model.ground_truth"
	arenaQuestion, arenaAnswer = "problem", "answer"
)

// table is in the order of the paper's results.
var table = [...]Set{
	{"AIME24", 32, verlQuestion, verlAnswer, 30, 12495, "147a9f9031b37e9b12450dfd4f2050a1bece8b3550bb6b9907fa386b5fedf887"},
	{"AIME25", 32, verlQuestion, verlAnswer, 30, 15934, "9d2333e1dc8831284747dfa62b58d8b6a84a94090ee108d1dd101f8d20a38593"},
	{"AMC23", 32, verlQuestion, verlAnswer, 40, 11770, "01191828e1fe738a2d19c3379213a6e5c92b425e1f86d67323e7b8613efa5678"},
	{"MATH-500", 4, verlQuestion, verlAnswer, 500, 73124, "966193d8d22e279e0055016566f0879b929748c29cba018b5db52981a8d88cfa"},
	{"Minerva", 4, verlQuestion, verlAnswer, 272, 58675, "af8621984d495b22f9ddbc301b388163cdb4433031a589ea337dc953085d8f02"},
	{"Olympiad-Bench", 4, verlQuestion, verlAnswer, 674, 113407, "2cd97aee40853b19d77a545202907acd84e104498221c6934995ba97f46fde61"},
	{"HMMT25", 32, arenaQuestion, arenaAnswer, 30, 9191, "ccca64d248b89dc0765e40b893fe4ebeab242226a4336027d95d256886a3d5f2"},
	{"BRUMO25", 32, arenaQuestion, arenaAnswer, 30, 9586, "ef510deea34c5b6d165c06d020acede1c1031eb91d90336cb4d615d9e55ba391"},
	{"CMIMC25", 32, arenaQuestion, arenaAnswer, 40, 13338, "7f290e5564265e57b0fe91c72bde2f1a06ca147148b7787084c54a0354abfcce"},
}

// All are the nine sets, in the order of the paper's results. The caller owns the list.
func All() []Set { return slices.Clone(table[:]) }

// Names are theirs.
func Names() []string {
	var names []string
	for _, s := range table {
		names = append(names, s.Name)
	}
	return names
}

// UnknownError is a name that no set has.
type UnknownError struct {
	Name    string
	Nearest []string // the sets that were perhaps meant; empty if none is near
}

func (e *UnknownError) Error() string {
	if len(e.Nearest) > 0 {
		return fmt.Sprintf("there is no set %q; nearest: %s; there are %s", e.Name, strings.Join(e.Nearest, ", "), strings.Join(Names(), ", "))
	}
	return fmt.Sprintf("there is no set %q; there are %s", e.Name, strings.Join(Names(), ", "))
}

// Lookup finds a set by its name, in capitals or not; its error is an [*UnknownError].
func Lookup(name string) (Set, error) {
	for _, s := range table {
		if strings.EqualFold(s.Name, name) {
			return s, nil
		}
	}
	return Set{}, &UnknownError{name, nearest(name)}
}

// URL is where the set's file is, or its mirror's, which the environment names.
func (s Set) URL() string {
	base := os.Getenv(OriginEnv)
	if base == "" {
		base = Origin
	}
	return strings.TrimRight(base, "/") + "/data/" + s.Name + "/test.parquet"
}
