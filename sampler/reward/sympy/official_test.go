package sympy

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
)

// official is the authors' grader as an oracle.
type official struct {
	in  io.WriteCloser
	out *bufio.Reader
}

// startOfficial runs the file that JUSTRL_OFFICIAL_UTILS names (evals/utils.py of
// thunlp/JustRL, see package benchmarks) on the same interpreter and libraries.
func startOfficial(t testing.TB) official {
	t.Helper()
	utils := os.Getenv("JUSTRL_OFFICIAL_UTILS")
	if utils == "" {
		t.Skip("SKIPPED: JUSTRL_OFFICIAL_UTILS is not set to the official evals/utils.py")
	}
	python := own(t)
	cmd := exec.CommandContext(t.Context(), python.exe, append([]string{"-S", "-B", "testdata/official.py", utils}, python.path...)...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := in.Close(); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // the context of the test has ended
	})
	return official{in, bufio.NewReader(out)}
}

// ask fills answer in, and says whether there was one within the time.
func (o official) ask(kind, first, second string, answer any) (inTime bool, err error) {
	b, err := json.Marshal([]string{kind, first, second})
	if err != nil {
		return false, err
	}
	if _, err := o.in.Write(append(b, '\n')); err != nil {
		return false, err
	}
	line, err := o.out.ReadBytes('\n')
	if err != nil {
		return false, fmt.Errorf("the official grader: %w", err)
	}
	return strings.TrimSpace(string(line)) != "null", json.Unmarshal(line, answer)
}

// Both questions on thousands of texts, against the official code.
func TestOfficial(t *testing.T) {
	o := startOfficial(t)
	const texts, pairs = 6000, 3000
	p := open(t, 1, nil)
	r := rand.New(rand.NewPCG(7, 1))

	changed, equal, late := 0, 0, 0
	for range texts {
		text := latex(r)
		want, got := "", ""
		var g errgroup.Group // the two at once
		g.Go(func() (err error) { got, err = p.Normalize(t.Context(), text); return err })
		inTime, err := o.ask("N", text, "", &want)
		if err := g.Wait(); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if err != nil {
			t.Fatal(err)
		}
		if inTime && got != want {
			t.Errorf("%q is normalised to %q, officially %q", text, got, want)
		}
		if want != text {
			changed++
		}
	}
	for range pairs {
		truth, given := pair(r)
		var want, got bool
		var g errgroup.Group
		g.Go(func() (err error) { got, err = p.Equal(t.Context(), truth, given); return err })
		inTime, err := o.ask("E", truth, given, &want)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Wait(); !inTime {
			late++
		} else if err != nil || got != want {
			t.Errorf("%q and %q: %t, %v, officially %t", truth, given, got, err, want)
		}
		if want {
			equal++
		}
	}
	t.Logf("%d texts, %d of them changed; %d pairs, %d of them equal, %d too slow for the official code", texts, changed, pairs, equal, late)
	if changed < texts/2 || equal < pairs/5 || equal > pairs*4/5 || late > pairs/20 {
		t.Error("the texts are too much alike to tell anything")
	}
}
