package sympy

import (
	"context"
	_ "embed" // what pip is to fetch, and how the source archive is
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/justrl/justrl/internal/atomicdir"
	"github.com/justrl/justrl/internal/cachedir"
	"github.com/justrl/justrl/internal/filelock"
)

//go:embed worker/requirements.txt
var requirements string

//go:embed worker/fetch.py
var fetchSource string

// pylatexencSHA256 is that of pylatexenc-2.10.tar.gz: there is no wheel of it, and
// its packages are taken out of the archive as they are, so that no build runs.
const pylatexencSHA256 = "3dd8fd84eb46dc30bee1e23eaab8d8fb5a7f507347b23e5f38ad9675c84f40d3"

// lockPoll is the time between two tries at the lock of another process.
const lockPoll = 100 * time.Millisecond

// ownInterpreter is the program's CPython in the cache, with the libraries. What
// is not there yet is set up; processes that want it at once wait for one another.
func ownInterpreter(ctx context.Context, report func(string)) (interpreter, error) {
	cache, err := cachedir.Path()
	if err != nil {
		return interpreter{}, &SetupError{"the cache", err, otherWays}
	}
	dir := filepath.Join(cache, fmt.Sprintf("grader-cpython%s-sympy%s-mpmath%s-pylatexenc%s-%s-%s",
		Pinned.Python, Pinned.Sympy, Pinned.Mpmath, Pinned.Pylatexenc, runtime.GOOS, runtime.GOARCH))
	if err := ensure(ctx, dir, report, fill); err != nil {
		if ctx.Err() != nil {
			return interpreter{}, ctx.Err()
		}
		return interpreter{}, &SetupError{"set up the rule grader's Python in " + dir, err, "it needs PyPI once (pip's own settings hold: PIP_INDEX_URL, PIP_FIND_LINKS, HTTPS_PROXY), " + otherWays}
	}
	return inFolder(dir), nil
}

// inFolder is the interpreter of a folder that ensure made.
func inFolder(dir string) interpreter {
	return interpreter{exe: filepath.Join(dir, "python", "bin", "python3"), path: []string{filepath.Join(dir, "lib")}}
}

// ensure makes dir unless it is there and complete; fill puts things in it.
func ensure(ctx context.Context, dir string, report func(string), fill func(ctx context.Context, tmp string) error) (err error) {
	ready := func() bool {
		_, err := atomicdir.Read(dir)
		return err == nil
	}
	if ready() {
		return nil
	}
	if !embeddedHere {
		return fmt.Errorf("this program brings no Python for %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o777); err != nil {
		return err
	}
	unlock, err := filelock.Wait(ctx, dir+".lock", lockPoll)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if ready() { // by who had the lock before
		return nil
	}
	report(fmt.Sprintf("setting up the rule grader once: Python %s, and from PyPI %s (7 MB), into %s", Pinned.Python, needs, dir))
	_, err = atomicdir.Create(dir, atomicdir.Marker{Extra: map[string]string{"versions": Pinned.String()}}, func(tmp string) error {
		return fill(ctx, tmp)
	})
	return err
}

// fill makes an interpreter with the libraries in an empty folder, and has it
// grade something.
func fill(ctx context.Context, dir string) (err error) {
	if err := unpackPython(filepath.Join(dir, "python")); err != nil {
		return fmt.Errorf("unpack Python: %w", err)
	}
	python := inFolder(dir)
	if out, err := exec.CommandContext(ctx, python.exe, "-S", "-c", "").CombinedOutput(); err != nil {
		return fmt.Errorf("the program's Python does not run here: %s", lastLine(out, err.Error()))
	}
	work, remove, err := atomicdir.Scratch("setup")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	pip, err := unpackPip(work)
	if err != nil {
		return fmt.Errorf("unpack pip: %w", err)
	}
	wanted := filepath.Join(work, "requirements.txt")
	if err := os.WriteFile(wanted, []byte(requirements), 0o600); err != nil {
		return err
	}
	lib := python.path[0]
	for _, args := range [][]string{
		{"-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes", "--requirement", wanted, "--target", lib},
		{"-c", fetchSource, "pylatexenc", Pinned.Pylatexenc, pylatexencSHA256, lib},
	} {
		if err := runPip(ctx, python.exe, pip, work, args); err != nil {
			return err
		}
	}
	for _, name := range []string{"bin", "share"} { // scripts and a manual page
		if err := os.RemoveAll(filepath.Join(lib, name)); err != nil {
			return err
		}
	}
	// One start without confinement leaves the modules compiled: those after it take half a second.
	l := launch{python: python, dir: work, timeLimit: time.Minute, memory: DefaultMemory, layers: []string{}, source: workerSource, compile: true}
	w, err := l.start(ctx, ctx)
	if err != nil {
		return err
	}
	defer w.end()
	if w.hello.Versions != Pinned {
		return fmt.Errorf("it has %v, not %v", w.hello.Versions, Pinned)
	}
	return nil
}

// runPip runs Python with pip at hand, and the user's settings of it. What pip
// leaves when it is killed is in work.
func runPip(ctx context.Context, exe, pip, work string, args []string) error {
	cmd := exec.CommandContext(ctx, exe, args...)
	cmd.Dir = work
	for _, v := range os.Environ() {
		// Another Python's, and what would send the libraries elsewhere.
		if name, _, _ := strings.Cut(v, "="); !strings.HasPrefix(name, "PYTHON") && name != "PIP_USER" && name != "PIP_PREFIX" && name != "PIP_ROOT" && name != "PIP_REQUIRE_VIRTUALENV" {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "PYTHONPATH="+pip, "PYTHONNOUSERSITE=1", "PIP_USER=0", "PIP_ROOT_USER_ACTION=ignore", "PIP_DISABLE_PIP_VERSION_CHECK=1", "TMPDIR="+work)
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("pip: %s", pipSaid(out, err.Error()))
	}
	return nil
}

// pipSaid is the first error of pip's output; what follows it explains.
func pipSaid(out []byte, otherwise string) string {
	for line := range strings.Lines(strings.ToValidUTF8(string(out), "\uFFFD")) {
		if said, found := strings.CutPrefix(line, "ERROR: "); found {
			return strings.TrimSpace(said)
		}
	}
	return lastLine(out, otherwise)
}
