// Package viewerstest runs the programs that people look at runs with, on what
// tests have written for them: TensorBoard and wandb, of scripts/viewers-env.
package viewerstest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Python runs a script with arguments in a Python that has TensorBoard and wandb,
// and returns what it prints. Where there is none the test is skipped; with CI set
// it is made (scripts/viewers-env), or the test fails.
func Python(t *testing.T, script string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), python(t), append([]string{"-c", script}, args...)...)
	cmd.Env = append(os.Environ(), "WANDB_MODE=offline", "WANDB_SILENT=true", "WANDB_ERROR_REPORTING=false", "WANDB_CACHE_DIR="+t.TempDir(), "WANDB_CONFIG_DIR="+t.TempDir(),
		"WANDB_DATA_DIR="+t.TempDir(), "PYTHONDONTWRITEBYTECODE=1", "TF_CPP_MIN_LOG_LEVEL=3")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s%s", err, out.String(), errs.String())
	}
	return strings.TrimSpace(out.String())
}

func python(t *testing.T) string {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	script, there := filepath.Join(filepath.Dir(here), "../../scripts/viewers-env"), "--there"
	if os.Getenv("CI") != "" {
		there = ""
	}
	var errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), script, there)
	cmd.Stderr = &errs
	out, err := cmd.Output()
	switch name := strings.TrimSpace(string(out)); {
	case err != nil:
		t.Fatalf("%v: %s", err, errs.String())
	case name == "":
		t.Skip("SKIPPED: there is no Python with TensorBoard and wandb in the cache; scripts/viewers-env installs it")
	default:
		return name
	}
	return ""
}
