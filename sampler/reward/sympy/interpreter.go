package sympy

import (
	"context"
	_ "embed" // the probe
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// interpreter is a CPython with the libraries.
type interpreter struct {
	exe  string
	path []string // folders of the libraries, after the standard library's
}

//go:embed worker/probe.py
var probeSource string

const needs = "sympy==1.13.1 mpmath==1.3.0 pylatexenc==2.10"

const otherWays = "or give --python an interpreter (3.10 or 3.11) that has them (python3 -m pip install " + needs + "); --verifier strict-box needs no Python"

// findInterpreter is the user's if one is named, else the program's own.
func findInterpreter(ctx context.Context, named string, report func(string)) (interpreter, error) {
	if named != "" {
		return probe(ctx, named)
	}
	return ownInterpreter(ctx, report)
}

// probe asks a user's interpreter where it has the libraries.
func probe(ctx context.Context, named string) (interpreter, error) {
	fail := func(err error) error {
		return &SetupError{Doing: "--python " + named, Err: err, Hint: "it has to be CPython 3.8 or later (3.10 or 3.11 for the paper's verdicts) with " + needs + "; without --python the program's own is used, and --verifier strict-box needs none"}
	}
	exe, err := exec.LookPath(named)
	if err != nil {
		return interpreter{}, fail(err)
	}
	if exe, err = filepath.Abs(exe); err != nil {
		return interpreter{}, fail(err)
	}
	const patience = time.Minute
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	// With the user's own environment: the name may be that of a script (pyenv).
	cmd := exec.CommandContext(ctx, exe, "-c", probeSource)
	out, err := cmd.Output()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return interpreter{}, fail(ctx.Err())
	case errors.As(err, &exit):
		return interpreter{}, fail(fmt.Errorf("%s", lastLine(exit.Stderr, exit.Error())))
	case err != nil:
		return interpreter{}, fail(err)
	}
	var said struct {
		Executable string
		Missing    []string
		Path       []string
	}
	if err := json.Unmarshal(out, &said); err != nil || said.Executable == "" {
		return interpreter{}, fail(errors.New("it does not answer as CPython does"))
	}
	if len(said.Missing) > 0 {
		return interpreter{}, fail(fmt.Errorf("it has no %s", strings.Join(said.Missing, ", no ")))
	}
	return interpreter{exe: said.Executable, path: said.Path}, nil
}

// lastLine is what a program ended with, or else if it said nothing.
func lastLine(text []byte, otherwise string) string {
	lines := strings.FieldsFunc(strings.ToValidUTF8(string(text), "\uFFFD"), func(r rune) bool { return r == '\n' || r == '\r' })
	for i := len(lines) - 1; i >= 0; i-- {
		if line := strings.TrimSpace(lines[i]); line != "" {
			return line
		}
	}
	return otherwise
}
