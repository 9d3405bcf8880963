package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/vllm"
)

// replay is what the process that kept every rollout says, and what it took.
type replay struct {
	Rollouts int     `json:"rollouts"`
	Tokens   int     `json:"tokens"`
	Sum      int64   `json:"sum"` // of all token ids
	Seconds  float64 `json:"seconds"`
	GB       float64 `json:"gb"`
	CPU      float64 `json:"cpu_s"`
	Peak     int64   `json:"peak_bytes"`
	Most     int64   `json:"peak_bound_bytes"`
}

// children are the processes that this program is too.
var children = map[string]func(ctx context.Context, args []string, stdout io.Writer) error{
	"keep-all": keepAll,
	"ask-vllm": askVLLM,
}

// replay serves one answer to every request, and has a process of its own keep them all.
func (o options) replay(ctx context.Context, stderr io.Writer) (*replay, error) {
	body := answer(o.n, o.tokens, 2)
	var one fields
	if err := json.Unmarshal(body, &one); err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	srv := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body)
	})}
	var pool errgroup.Group
	pool.Go(func() error { return srv.Serve(listener) })
	defer pool.Wait() //nolint:errcheck // it was closed
	defer srv.Close() //nolint:errcheck // nobody is left

	requests := o.answers / o.n
	r := &replay{}
	done, err := child(ctx, []string{"keep-all", "http://" + listener.Addr().String(), strconv.Itoa(requests), strconv.Itoa(o.n), strconv.Itoa(o.tokens)}, r)
	if err != nil {
		return nil, err
	}
	r.CPU, r.Peak = done.cpu.Seconds(), done.peak
	r.GB, r.Most = float64(len(body))*float64(requests)/1e9, int64(o.answers*o.tokens)*bytesPerToken+bytesBeside
	var sum int64
	for _, c := range one.Choices {
		for _, id := range c.TokenIDs {
			sum += int64(id)
		}
	}
	if r.Rollouts != o.answers || r.Tokens != o.answers*o.tokens || r.Sum != sum*int64(requests) {
		return nil, fmt.Errorf("%d rollouts of %d tokens (sum %d) were kept, %d of %d (%d) were sent", r.Rollouts, r.Tokens, r.Sum, o.answers, o.answers*o.tokens, sum*int64(requests))
	}
	fmt.Fprintf(stderr, "replay: %d rollouts, %.1f GB in %.1f s, %d MB resident at most\n", r.Rollouts, r.GB, r.Seconds, r.Peak/1e6)
	return r, nil
}

// keepAll asks for everything at once, as a step does, and keeps it.
func keepAll(ctx context.Context, args []string, stdout io.Writer) error {
	var numbers [3]int
	for i := range numbers {
		n, err := strconv.Atoi(args[1+i])
		if err != nil {
			return err
		}
		numbers[i] = n
	}
	requests, n, tokens := numbers[0], numbers[1], numbers[2]
	e, err := endpoint.New(args[0], endpoint.Options{})
	if err != nil {
		return err
	}
	defer e.Close()
	g, err := vllm.New(e, vllm.Options{Model: "tiny", Vocab: vocab})
	if err != nil {
		return err
	}
	all := make([][]sampler.Rollout, requests)
	began := time.Now()
	var pool errgroup.Group
	pool.SetLimit(sampler.DefaultConcurrency)
	for i := range requests {
		pool.Go(func() (err error) {
			all[i], err = g.Generate(ctx, request(n, tokens))
			return err
		})
	}
	if err := pool.Wait(); err != nil {
		return err
	}
	r := replay{Seconds: time.Since(began).Seconds()}
	for _, rollouts := range all {
		for _, x := range rollouts {
			if len(x.Logprobs) != len(x.TokenIDs) || x.Text == "" {
				return fmt.Errorf("a rollout has %d tokens, %d log-probs, %d bytes of text", len(x.TokenIDs), len(x.Logprobs), len(x.Text))
			}
			r.Rollouts++
			r.Tokens += len(x.TokenIDs)
			for _, id := range x.TokenIDs {
				r.Sum += int64(id)
			}
		}
	}
	return json.NewEncoder(stdout).Encode(r)
}

// cost is what a process took.
type cost struct {
	cpu  time.Duration
	peak int64 // bytes resident at most
}

// child runs this program as another process and reads what it says into out.
func child(ctx context.Context, args []string, out any) (cost, error) {
	self, err := os.Executable()
	if err != nil {
		return cost{}, err
	}
	cmd := exec.CommandContext(ctx, self, args...)
	text, c, err := costOf(cmd)
	if err != nil {
		return c, fmt.Errorf("%s: %w", args[0], err)
	}
	return c, json.Unmarshal(text, out)
}

// costOf runs a command; its output is returned.
func costOf(cmd *exec.Cmd) ([]byte, cost, error) {
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		said := errs.String() + out.String()
		return nil, cost{}, fmt.Errorf("%w: …%s", err, said[max(0, len(said)-1500):])
	}
	c := cost{cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		c.peak = u.Maxrss << 10 // Linux counts in kilobytes
	}
	return []byte(out.String()), c, nil
}
