package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	dir := t.TempDir()
	code, _, stderr := run(t, "report", dir)
	if code != ExitFailed || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, dir) || !strings.Contains(stderr, "no run") {
		t.Errorf("a folder without a run: exit code %d, %q", code, stderr)
	}
	if err := os.WriteFile(filepath.Join(dir, "run.json"), []byte(`{"id":"abc"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "x.html")
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"report", dir}, filepath.Join(dir, "report.html")},
		{[]string{"report", dir, "--out", other}, other},
	} {
		code, stdout, stderr := run(t, tc.args...)
		if code != ExitOK || stdout != "report "+tc.want+"\n" || stderr != "" {
			t.Errorf("%v: exit code %d, %q, %q", tc.args, code, stdout, stderr)
		}
		if b, err := os.ReadFile(tc.want); err != nil || !strings.Contains(string(b), "abc") {
			t.Errorf("%v: %v, %d bytes", tc.args, err, len(b))
		}
	}
}
