package command_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// TestMain is also the user's program: the test's own binary, called by one of these names.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "as" {
		programs[os.Args[2]](os.Args[3:])
		return
	}
	goleak.VerifyTestMain(m)
}

// program is the command line of one of programs.
func program(args ...string) []string { return append([]string{os.Args[0], "as"}, args...) }

var programs = map[string]func(args []string){
	"reload": reload,
	// fails: says something and ends with status 3
	"fail": func(args []string) {
		fmt.Fprintf(os.Stderr, "first\nsecond\n\nthe disk is full: %s\n", args[0])
		os.Exit(3)
	},
	// fails so many times as there are letters in the file, then reloads
	"flaky": func(args []string) {
		left, err := os.ReadFile(args[0])
		if err == nil && len(left) > 0 {
			if err := os.WriteFile(args[0], left[1:], 0o600); err == nil {
				fmt.Fprintln(os.Stderr, "not yet")
				os.Exit(1)
			}
		}
		reload(nil)
	},
	// keyless: fails if it was given a secret of ours
	"keyless": func([]string) {
		for _, v := range os.Environ() {
			if strings.Contains(v, "hunter2") {
				fmt.Fprintln(os.Stderr, "was given", v)
				os.Exit(3)
			}
		}
		reload(nil)
	},
	// hang: with a child of its own, does not end
	"hang": func(args []string) {
		child := exec.Command(os.Args[0], "as", "stay", args[0]) //nolint:noctx // it is to outlive everything
		if err := child.Start(); err != nil {
			os.Exit(4)
		}
		stay(args)
	},
	"stay": stay,
}

// stay does not heed SIGTERM. Its end is seen by the one who listens at the address.
func stay(args []string) {
	signal.Ignore(syscall.SIGTERM)
	if len(args) > 0 {
		if _, err := net.Dial("tcp", args[0]); err != nil { //nolint:noctx // it ends with the process
			os.Exit(5)
		}
	}
	select {}
}

// reload has the fake at JUSTRL_SERVER load JUSTRL_SNAPSHOT_DIR and empty its cache.
func reload([]string) {
	server := os.Getenv("JUSTRL_SERVER")
	post := func(path string, body any) {
		b, err := json.Marshal(body)
		if err != nil {
			panic(err)
		}
		resp, err := http.Post(server+path, "application/json", bytes.NewReader(b)) //nolint:noctx // it ends with the process
		if err != nil {
			panic(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			fmt.Fprintln(os.Stderr, path, resp.Status)
			os.Exit(1)
		}
	}
	post("/collective_rpc", map[string]any{"method": "reload_weights", "kwargs": map[string]string{"weights_path": os.Getenv("JUSTRL_SNAPSHOT_DIR")}})
	post("/reset_prefix_cache", struct{}{})
}
