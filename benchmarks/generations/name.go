package generations

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Extension is that of a generations file.
const Extension = ".jsonl"

// Name is what the name of a generations file says. All are text, as it stands
// there: "1.0" is not "1". All but Task are "" where the name does not say.
type Name struct {
	Temperature string `json:"temperature"`
	TopP        string `json:"top_p"`
	N           string `json:"n"` // samples a problem
	MaxTokens   string `json:"max_tokens"`
	Task        string `json:"task_name"` // lower case in the authors' files
}

var settings = regexp.MustCompile(`_t([\d.]+)_p([\d.]+)_n(\d+)-MNT(\d+)`)

// ParseName takes the name of a file apart. The folder is left aside. It tells
// whether the name says how the file was sampled; if not, only Task is set.
func ParseName(path string) (n Name, ok bool) {
	base := filepath.Base(path)
	n.Task, _, _ = strings.Cut(strings.TrimSuffix(base, filepath.Ext(base)), "_")
	m := settings.FindStringSubmatch(base)
	if m == nil {
		return n, false
	}
	n.Temperature, n.TopP, n.N, n.MaxTokens = m[1], m[2], m[3], m[4]
	return n, true
}

// NewName names what is sampled of a task: the task in lower case, numbers as
// Python prints them. The task must be one that ParseName finds again.
func NewName(task string, temperature, topP float64, n, maxTokens int) (Name, error) {
	name := Name{
		Task:        strings.ToLower(task),
		Temperature: pythonFloat(temperature), TopP: pythonFloat(topP),
		N: strconv.Itoa(n), MaxTokens: strconv.Itoa(maxTokens),
	}
	if got, ok := ParseName(name.File()); !ok || got != name {
		return Name{}, fmt.Errorf("no file can be named after task %q, temperature %g, top_p %g, n %d, max_tokens %d: %w", task, temperature, topP, n, maxTokens, errName)
	}
	return name, nil
}

var errName = errors.New("a task has no underscore, slash or dot before an underscore, and the numbers are not negative")

// File is the name of the file.
func (n Name) File() string {
	return n.Task + "_t" + n.Temperature + "_p" + n.TopP + "_n" + n.N + "-MNT" + n.MaxTokens + Extension
}

// pythonFloat prints as Python's str does, but for numbers so small or large
// that it would need an exponent, which the format has no room for.
func pythonFloat(x float64) string {
	s := strconv.FormatFloat(x, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}
