package sympy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var setUpOnce = sync.OnceValues(func() (interpreter, error) {
	return ownInterpreter(context.Background(), func(line string) { _, _ = fmt.Fprintln(os.Stderr, line) })
})

// own is the program's interpreter, set up in the cache if need be.
func own(t testing.TB) interpreter {
	t.Helper()
	python, err := setUpOnce()
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skipf("SKIPPED: the interpreter cannot be set up here: %v", err)
	}
	return python
}

// testLaunch is what Open starts, with a limit that a shared machine keeps.
func testLaunch(t testing.TB) launch {
	return launch{python: own(t), timeLimit: 20 * time.Second, memory: DefaultMemory, layers: allLayers, source: workerSource}
}

// open makes a pool that is closed, and shown to be gone, when the test ends.
func open(t testing.TB, n int, change func(*launch)) *Pool {
	t.Helper()
	l := testLaunch(t)
	if change != nil {
		change(&l)
	}
	p, err := newPool(t.Context(), n, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(p.launch.dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the working directory is left: %v", err)
		}
	})
	return p
}
