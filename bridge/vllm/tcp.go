package vllm

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/sync/errgroup"
)

// tcp is a [Carrier] to the workers of scripts/vllm-plugin: each connects to
// the address that init_info names, shows the token that is there too, and reads
// the tensors' bytes one after the other. Between Init and Join a port is open,
// on the loopback address unless host is another, and no longer: nobody without
// the token gets a byte.
type tcp struct {
	host    string // to listen on and to be reached at; "" is 127.0.0.1
	token   string
	workers int
	listen  net.Listener
	conns   []net.Conn
}

// greeting bounds how long a worker takes to show its token.
const greeting = 10 * time.Second

// Init implements Carrier.
func (c *tcp) Init(ctx context.Context, workers int) (map[string]any, error) {
	if err := c.Close(); err != nil {
		return nil, err
	}
	host := c.host
	if host == "" {
		host = "127.0.0.1"
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, fmt.Errorf("listen for the server's workers: %w", err)
	}
	c.listen, c.token, c.workers = l, rand.Text(), workers
	return map[string]any{
		"master_address": host, "master_port": l.Addr().(*net.TCPAddr).Port, "token": c.token,
		"rank_offset": 1, "world_size": 1 + workers,
	}, nil
}

// Join implements Carrier.
func (c *tcp) Join(ctx context.Context) (err error) {
	l := c.listen
	c.listen = nil
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer func() {
		stop()
		if e := l.Close(); err == nil && !errors.Is(e, net.ErrClosed) {
			err = e
		}
	}()
	for len(c.conns) < c.workers {
		conn, err := l.Accept()
		if cause := context.Cause(ctx); cause != nil {
			return errors.Join(cause, closeIf(conn))
		}
		if err != nil {
			return fmt.Errorf("wait for the server's workers: %w", err)
		}
		if !c.welcome(conn) { // a stranger
			_ = conn.Close()
			continue
		}
		c.conns = append(c.conns, conn)
	}
	return nil
}

// welcome tells whether whoever connected has the token.
func (c *tcp) welcome(conn net.Conn) bool {
	shown := make([]byte, len(c.token))
	if err := conn.SetReadDeadline(time.Now().Add(greeting)); err != nil {
		return false
	}
	if _, err := io.ReadFull(conn, shown); err != nil || subtle.ConstantTimeCompare(shown, []byte(c.token)) != 1 {
		return false
	}
	return conn.SetReadDeadline(time.Time{}) == nil
}

// Send implements Carrier. Each worker is served by itself: those of one server
// wait for each other between two tensors.
func (c *tcp) Send(ctx context.Context, tensors []Tensor) error {
	if len(c.conns) == 0 {
		return errors.New("no worker of the server is connected")
	}
	conns := c.conns // Close may come while ctx ends
	stop := context.AfterFunc(ctx, func() {
		for _, conn := range conns {
			_ = conn.SetWriteDeadline(time.Unix(1, 0))
		}
	})
	defer stop()
	g, group := errgroup.WithContext(ctx)
	for _, conn := range conns {
		g.Go(func() error {
			for _, t := range tensors {
				if _, err := conn.Write(t.Data); err != nil {
					return fmt.Errorf("send %s to a worker of the server: %w", t.Name, err)
				}
				if err := context.Cause(group); err != nil { // another worker is lost
					return err
				}
			}
			return nil
		})
	}
	err := g.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// Close implements Carrier.
func (c *tcp) Close() error {
	var errs []error
	if c.listen != nil {
		errs = append(errs, c.listen.Close())
	}
	for _, conn := range c.conns {
		errs = append(errs, conn.Close())
	}
	c.listen, c.conns = nil, nil
	return errors.Join(errs...)
}

func closeIf(conn net.Conn) error {
	if conn == nil {
		return nil
	}
	return conn.Close()
}
