package sympy

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/justrl/justrl/sampler"
)

// octal is a text as Python's escapes without a letter, which the authors' guard does not count.
func octal(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		fmt.Fprintf(&b, `\%03o`, c)
	}
	return b.String()
}

// decimal is a text's bytes as a tuple has them.
func decimal(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		fmt.Fprintf(&b, "%d,", c)
	}
	return b.String()
}

// Answers that are made to do something: none does, each is answered or out of
// time within its limit, and the neighbours get theirs.
func TestHostile(t *testing.T) {
	p := open(t, 2, func(l *launch) { l.timeLimit = time.Second })
	proof := filepath.Join(t.TempDir(), "proof")
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("7"), 0o600); err != nil {
		t.Fatal(err)
	}
	write := "__import__('os').system('touch " + proof + "')"
	open := "open('" + proof + "','w')"
	answers := map[string]string{
		"a power":                       "9**9**9**9",
		"another":                       "7**77777777",
		"its inverse":                   "1/(7**9999999)",
		"a factorial":                   "99999999!",
		"of a power":                    "(10**9)!",
		"factorials of factorials":      "9!!!!!!!!!!",
		"a polynomial":                  "(x+1)**2000",
		"a shift":                       "1<<(10**12)",
		"a list for the memory":         "[1]*10**10",
		"a text for the memory":         "('1'*10**10)",
		"nested parentheses":            strings.Repeat("(", 5000) + "1" + strings.Repeat(")", 5000),
		"nested signs":                  strings.Repeat("-", 100000) + "1",
		"nested calls":                  strings.Repeat("ln(", 150) + "x" + strings.Repeat(")", 150),
		"a long sum":                    strings.Repeat("x+", 100000) + "x",
		"one MB of braces":              strings.Repeat("{", 1<<20),
		"one MB of fractions":           strings.Repeat(`\frac{`, 1<<20/6),
		"one MB of text":                strings.Repeat(`\text{`, 1<<20/6),
		"one MB of digits":              strings.Repeat("7", 1<<20),
		"one MB of digits and spaces":   strings.Repeat("7 ", 1<<19),
		"NUL":                           "\x00",
		"NUL in the middle":             "1\x00+1",
		"a system call":                 write,
		"a file":                        open,
		"in a string, in octal":         `ln("` + octal(write) + `")`,
		"a file, in octal":              `re('` + octal(open) + `')`,
		"of single characters":          "sqrt('" + strings.Repeat("%c", len(open)) + "'%(" + decimal(open) + "))",
		"joined":                        `ln("` + octal(open[:9]) + `""` + octal(open[9:]) + `")`,
		"in bytes":                      `ln(b"` + octal(open) + `")`,
		"in LaTeX":                      `\sqrt("` + strings.ReplaceAll(octal(open), `\`, `\textbackslash `) + `")`,
		"in a formatted string":         `f"{` + open + `}"`,
		"roman numerals":                "().__\u217d\u217cass__",
		"classes":                       "().__class__.__bases__[0].__subclasses__()",
		"classes by a roman numeral":    "().__\u217d\u217cass__.__s\u217c__",
		"a lambda":                      "(lambda:" + open + ")()",
		"an assignment":                 "(x:=" + open + ")",
		"a list comprehension":          "[x for x in " + open + "]",
		"the parser's own names":        `Function("` + octal(open) + `")(1)`,
		"sympify":                       `S("` + octal(open) + `")`,
		"numbers":                       `N("` + octal(open) + `")`,
		"a file to read":                `S("` + octal("Integer(open('"+secret+"').read())") + `")`,
		"LaTeX that reads":              `\input{` + secret + `}`,
		"a comment and a second line":   "1)#\n" + open,
		"a module":                      "import os",
		"the end of the process":        "exit()",
		"the end of the process, again": `S("` + octal("exit()") + `")`,
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 200 {
			given := fmt.Sprintf("x*(x+%d)", i)
			if same, err := p.Equal(t.Context(), fmt.Sprintf("x**2+%d*x", i), given); err != nil || !same {
				t.Errorf("a neighbour's %s: %t, %v", given, same, err)
			}
		}
	})
	for name, answer := range answers {
		normal, err := p.Normalize(t.Context(), answer)
		if err != nil && !errors.Is(err, sampler.ErrVerifyTimeout) && !errors.Is(err, ErrMemory) {
			t.Errorf("%s: normalised with %v", name, err)
		}
		for _, given := range slices.Compact([]string{answer, normal}) {
			same, err := p.Equal(t.Context(), "7", given)
			if err != nil && !errors.Is(err, sampler.ErrVerifyTimeout) && !errors.Is(err, ErrMemory) || same {
				t.Errorf("%s: %t, %v", name, same, err)
			}
		}
	}
	wg.Wait()
	if _, err := os.Stat(proof); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an answer was executed: %v", err)
	}
	if left, err := os.ReadDir(p.launch.dir); err != nil || len(left) > 0 {
		t.Errorf("something was written where the workers are: %v, %v", left, err)
	}
}

// The layers one by one, below the guard: a program runs in a worker, and what
// each layer is for fails in it. With none, everything succeeds: the programs can.
func TestLayers(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: Landlock and seccomp are Linux's")
	}
	outside := t.TempDir()
	target := filepath.Join(outside, "read")
	if err := os.WriteFile(target, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	address := fmt.Sprintf("('127.0.0.1', %d)", server.Addr().(*net.TCPAddr).Port)

	programs := []struct {
		name, code string
		stoppedBy  []string
	}{
		{"write a file", "with open(" + quote(outside+"/written") + ", 'w') as f: f.write('x')", []string{"limits", "audit", "landlock", "seccomp"}},
		{"read another's file", "open(" + quote(target) + ").read()", []string{"audit", "landlock"}},
		{"read by descriptor", "os.read(os.open(" + quote(target) + ", os.O_RDONLY), 9)", []string{"audit", "landlock"}},
		{"write by descriptor", "os.write(os.open(" + quote(target) + ", os.O_WRONLY | os.O_APPEND), b'x')", []string{"limits", "audit", "landlock", "seccomp"}},
		{"list a folder", "os.listdir(" + quote(outside) + ")", []string{"audit", "landlock"}},
		{"make a folder", "os.mkdir(" + quote(outside) + " + '/made'); os.rmdir(" + quote(outside) + " + '/made')", []string{"audit", "landlock", "seccomp"}},
		{"remove a file", "os.unlink(" + quote(target) + "); ", []string{"audit", "landlock", "seccomp"}},
		{"link a file", "os.symlink('x', " + quote(outside) + " + '/link'); os.unlink(" + quote(outside) + " + '/link')", []string{"audit", "landlock", "seccomp"}},
		{"start a program", "import subprocess; subprocess.run(['/bin/true'], check=True)", []string{"audit", "landlock", "seccomp"}},
		{"become a program", "os.close(os.open('/dev/null', os.O_RDONLY)); os.execv('/nonexistent', ['x'])", []string{"audit", "landlock", "seccomp"}},
		{"fork", "pid = os.fork()\nif pid == 0: os._exit(0)\nos.waitpid(pid, 0)", []string{"audit", "seccomp"}},
		{"a thread", "import _thread; done = _thread.allocate_lock(); done.acquire(); _thread.start_new_thread(done.release, ()); done.acquire()", []string{"seccomp"}},
		{"a connection", "import socket; socket.create_connection(" + address + ").close()", []string{"audit", "landlock", "seccomp"}},
		{"a socket", "import socket; socket.socket(socket.AF_UNIX).close()", []string{"audit", "seccomp"}},
		{"a signal to the parent", "os.kill(os.getppid(), 0)", []string{"audit", "landlock", "seccomp"}},
		{"a C library", "ctypes.CDLL('libc.so.6')", []string{"audit"}},
		{"a C function", "ctypes.CDLL(None).getppid()", []string{"audit"}},
		{"more memory", "bytes(4 << 30)", []string{"limits"}},
		{"change a limit", "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))", []string{"audit", "seccomp"}},
		{"a file of the interpreter", "open(os.__file__).read()", nil},
		{"a module that was not loaded", "import sympy.physics.mechanics", nil},
	}
	const frame = "found = True\ntry:\n%s\nexcept (OSError, MemoryError, RuntimeError, ValueError) as e:\n  found = isinstance(e, FileNotFoundError)"
	for _, layers := range [][]string{nil, {"limits"}, {"audit"}, {"landlock"}, {"seccomp"}, allLayers} {
		t.Run("layers "+strings.Join(layers, ","), func(t *testing.T) {
			p := open(t, 1, withProbe(layers...))
			for _, l := range layers {
				if !slices.Contains(p.holding, l) {
					t.Skipf("SKIPPED: this kernel has no %s", l)
				}
			}
			for _, tc := range programs {
				if tc.name == "become a program" && len(layers) < 2 && !slices.Contains(layers, "audit") {
					continue // without a layer there is no more worker; a missing file tells only whether it was looked for
				}
				if err := os.WriteFile(target, []byte("secret"), 0o600); err != nil {
					t.Fatal(err)
				}
				code := "  " + strings.ReplaceAll(tc.code, "\n", "\n  ")
				did, err := do(t.Context(), p, "import os, ctypes, resource\n"+fmt.Sprintf(frame, code))
				stopped := slices.ContainsFunc(tc.stoppedBy, func(by string) bool { return slices.Contains(layers, by) })
				if err != nil || did == stopped {
					t.Errorf("%s: done %t, %v; should be stopped: %t", tc.name, did, err, stopped)
				}
			}
		})
	}
}

func quote(path string) string { return "'" + path + "'" }

// A kernel without a layer leaves a pool that says so.
func TestMissingLayer(t *testing.T) {
	p := open(t, 1, func(l *launch) {
		withProbe(allLayers...)(l)
		l.source = strings.Replace(l.source, "def landlock(readable):", "def landlock(readable):\n    raise OSError('no such call')\n\n\ndef unused(readable):", 1)
	})
	if slices.Contains(p.holding, "landlock") || !slices.Contains(p.holding, "seccomp") {
		t.Errorf("what holds: %q", p.holding)
	}
}

// Neither of the kernel's is too little; one is enough, and that is said.
func TestTooLittleConfinement(t *testing.T) {
	for _, tc := range []struct {
		missing   []string
		says, err string
	}{
		{nil, "", ""},
		{[]string{"landlock"}, "does not allow: landlock", ""},
		{[]string{"seccomp"}, "does not allow: seccomp", ""},
		{[]string{"landlock", "seccomp"}, "", "allows neither seccomp nor Landlock"},
	} {
		p := &Pool{holding: slices.DeleteFunc(slices.Clone(wantedLayers), func(l string) bool { return slices.Contains(tc.missing, l) })}
		if runtime.GOOS != "linux" {
			t.Skip("SKIPPED: Landlock and seccomp are Linux's")
		}
		said := ""
		err := p.confined(func(line string) { said += line })
		if tc.says == "" && said != "" || !strings.Contains(said, tc.says) {
			t.Errorf("without %q it says %q", tc.missing, said)
		}
		var setup *SetupError
		if (err != nil) != (tc.err != "") || err != nil && (!errors.As(err, &setup) || !strings.Contains(err.Error(), tc.err) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("without %q: %v", tc.missing, err)
		}
	}
}

// A worker whose memory cannot be limited does not start.
func TestNoMemoryLimit(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: macOS knows no address space limit")
	}
	l := testLaunch(t)
	l.source = strings.Replace(l.source, "def limit(memory):", "def limit(memory):\n    def refuse(kind, values, set=resource.setrlimit):\n        if kind == resource.RLIMIT_AS:\n            raise OSError('not permitted')\n        set(kind, values)\n    resource.setrlimit = refuse", 1)
	p, err := newPool(t.Context(), 1, l)
	if err == nil {
		t.Fatal(errors.Join(errors.New("it started"), p.Close()))
	}
	if !strings.Contains(err.Error(), "RLIMIT_AS") || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v", err)
	}
}

// The pairs that take the official grader seconds, or for ever.
func TestSlowKit(t *testing.T) {
	f, err := os.Open("../../../../shared/kits/slow.jsonl")
	if err != nil {
		t.Skipf("SKIPPED: the reference kit is not on this machine: %v", err)
	}
	defer func() { _ = f.Close() }()
	p := open(t, 2, func(l *launch) { l.timeLimit = 2 * time.Second })
	boxed := regexp.MustCompile(`\\boxed\{(.*)\}`)
	var wg sync.WaitGroup
	n := 0
	for in := bufio.NewScanner(f); in.Scan(); n++ {
		var pair struct {
			Response    string
			GroundTruth string `json:"ground_truth"`
		}
		if err := json.Unmarshal(in.Bytes(), &pair); err != nil {
			t.Fatal(err)
		}
		given := boxed.FindStringSubmatch(pair.Response)[1]
		wg.Go(func() {
			same, err := p.Equal(t.Context(), pair.GroundTruth, given)
			if err != nil && !errors.Is(err, sampler.ErrVerifyTimeout) {
				t.Errorf("%s: %v", given, err)
			}
			if same {
				t.Errorf("%s is %s", given, pair.GroundTruth)
			}
		})
	}
	wg.Wait()
	if n < 10 {
		t.Errorf("only %d pairs", n)
	}
}
