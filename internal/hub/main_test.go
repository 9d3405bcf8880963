package hub

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"testing"

	"go.uber.org/goleak"
)

// With JUSTRL_HUB_FETCH set, this test binary is a process that fetches a file,
// for the tests that need several.
func TestMain(m *testing.M) {
	if os.Getenv("JUSTRL_HUB_FETCH") == "" {
		goleak.VerifyTestMain(m)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	path, err := fetchAsProcess(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(path) //nolint:forbidigo // the answer to the test
}

func fetchAsProcess(ctx context.Context) (string, error) {
	o, err := FromEnv(os.Getenv)
	if err != nil {
		return "", err
	}
	o.Notice = func(s string) { fmt.Fprintln(os.Stderr, s) }
	c, err := New(o)
	if err != nil {
		return "", err
	}
	defer c.Close()
	r, err := ParseRef(os.Getenv("JUSTRL_HUB_FETCH"), Dataset)
	if err != nil {
		return "", err
	}
	return c.File(ctx, r)
}
