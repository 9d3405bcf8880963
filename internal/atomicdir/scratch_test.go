package atomicdir

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// What killed processes have left is removed by the next, and what living ones use is not.
func TestScratch(t *testing.T) {
	const env = "ATOMICDIR_TEST_SCRATCH"
	if os.Getenv(env) != "" { // a process that uses a folder until it is killed
		dir, _, err := Scratch("other")
		if err != nil {
			t.Fatal(err)
		}
		if err := files(map[string]string{"deep/in/it": "1"})(dir); err != nil {
			t.Fatal(err)
		}
		fmt.Println(dir) //nolint:forbidigo // the answer to the test
		_, _ = os.Stdin.Read(make([]byte, 1))
		return
	}
	parent := t.TempDir()
	t.Setenv("TMPDIR", parent)
	// Not ours to remove: of another package, of another program, and no folder.
	foreign := []string{".other.tmp-abcdefgh27", "justrl-sympy-123", ".justrl-x.tmp-short"}
	for _, name := range foreign {
		if err := os.Mkdir(filepath.Join(parent, name), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestScratch$")
	cmd.Env = append(os.Environ(), env+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close() //nolint:errcheck // nothing was written
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	theirs := strings.TrimSpace(line)
	if err != nil || filepath.Dir(theirs) != parent {
		t.Fatalf("the other process has %q, %v", line, err)
	}

	one, removeOne, err := Scratch("one")
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(one); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v; want a folder that nobody else opens", info.Mode(), err)
	}
	if _, err := os.Stat(filepath.Join(theirs, "deep", "in", "it")); err != nil {
		t.Errorf("a living process's: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	if _, err := os.Stat(theirs); err != nil {
		t.Fatalf("nothing is left to be swept: %v", err)
	}
	two, removeTwo, err := Scratch("two")
	if err != nil {
		t.Fatal(err)
	}
	want := append(slices.Clone(foreign), filepath.Base(one), filepath.Base(two))
	slices.Sort(want)
	wantNames(t, parent, want...)
	for _, remove := range []func() error{removeOne, removeTwo} {
		if err := remove(); err != nil {
			t.Error(err)
		}
	}
	slices.Sort(foreign)
	wantNames(t, parent, foreign...)
}

func TestScratchWithoutAPlace(t *testing.T) {
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "missing"))
	if dir, _, err := Scratch("x"); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("%q, %v", dir, err)
	}
}
