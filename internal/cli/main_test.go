package cli

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"os/signal"
	"testing"
)

// processArgs makes the test's own binary the program: it runs the command line
// that the variable holds, as JSON.
const processArgs = "JUSTRL_TEST_ARGS"

func TestMain(m *testing.M) {
	line, ok := os.LookupEnv(processArgs)
	if !ok {
		os.Exit(m.Run())
	}
	var args []string
	if err := json.Unmarshal([]byte(line), &args); err != nil {
		panic(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(Run(ctx, append([]string{"justrl"}, args...), os.Stdin, os.Stdout, os.Stderr))
}

// process is a command line in a process of its own, not yet started; it is
// killed when the test ends.
func process(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	line, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), processArgs+"="+string(line))
	return cmd
}
