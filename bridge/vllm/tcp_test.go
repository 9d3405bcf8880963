package vllm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/bridge"
)

// meet has a carrier joined by connections that show these tokens; "" is the right one.
func meet(t *testing.T, c *tcp, workers int, tokens ...string) []net.Conn {
	t.Helper()
	info, err := c.Init(t.Context(), workers)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	var conns []net.Conn
	var g errgroup.Group
	g.Go(func() error { return c.Join(t.Context()) })
	for _, token := range tokens {
		conn, err := net.Dial("tcp", address(info))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if token == "" {
			token = info["token"].(string)
		}
		if _, err := io.WriteString(conn, token); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", address(info)); err == nil {
		t.Error("it still listens when all workers are there")
	}
	return conns
}

func address(info map[string]any) string {
	return net.JoinHostPort(info["master_address"].(string), fmt.Sprint(info["master_port"]))
}

func tensors(sizes ...int) (out []Tensor) {
	for i, n := range sizes {
		out = append(out, Tensor{bridge.Tensor{Name: fmt.Sprint(i)}, bytes.Repeat([]byte{byte(i + 1)}, n)})
	}
	return out
}

func TestTCPSendsToAllAndOnlyToThem(t *testing.T) {
	var c tcp
	stranger := "not the token that was said"
	conns := meet(t, &c, 2, stranger[:26], "", "")
	sent := tensors(3, 0, 1<<20)
	var g errgroup.Group
	g.Go(func() error { return errors.Join(c.Send(t.Context(), sent), c.Close()) })
	for i, conn := range conns {
		g.Go(func() error {
			got, err := io.ReadAll(conn)
			switch {
			case i == 0 && len(got) > 0:
				return errors.New("a stranger got weights")
			case i > 0 && (err != nil || !bytes.Equal(got, slicesOf(sent))):
				return fmt.Errorf("worker %d got %d bytes, %w", i, len(got), err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

func slicesOf(tensors []Tensor) (b []byte) {
	for _, t := range tensors {
		b = append(b, t.Data...)
	}
	return b
}

// Workers that do not read, or do not come, are given up with ctx.
func TestTCPIsGivenUp(t *testing.T) {
	why := errors.New("enough")
	t.Run("in Send", func(t *testing.T) {
		var c tcp
		meet(t, &c, 1, "")
		ctx, cancel := context.WithCancelCause(t.Context())
		var g errgroup.Group
		g.Go(func() error { return c.Send(ctx, tensors(64<<20)) })
		cancel(why)
		if err := g.Wait(); !errors.Is(err, why) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("in Join", func(t *testing.T) {
		var c tcp
		if _, err := c.Init(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		var g errgroup.Group
		g.Go(func() error { return c.Join(ctx) })
		cancel(why)
		if err := g.Wait(); !errors.Is(err, why) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("a worker that leaves", func(t *testing.T) {
		var c tcp
		conns := meet(t, &c, 1, "")
		if err := conns[0].Close(); err != nil {
			t.Fatal(err)
		}
		if err := c.Send(t.Context(), tensors(64<<20)); err == nil {
			t.Error("no error")
		}
	})
}
