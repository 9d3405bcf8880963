// Package childenv is the environment of programs that are not ours: a user's
// verifier, which may run what a model has written, and a user's reload program.
// It lacks the secrets that were meant for this program alone.
package childenv

import (
	"os"
	"slices"
	"strings"
)

// secrets are the variables that hold a secret itself; those that name a file
// of one stay.
var secrets = []string{"JUSTRL_API_KEY", "JUSTRL_HEADER", "JUSTRL_JUDGE_API_KEY", "JUSTRL_SHARE_TOKEN"}

// Environ is this process's environment, as NAME=value, without its secrets.
func Environ() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(secrets, name)
	})
}
