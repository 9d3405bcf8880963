package guard

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"
)

// pipes is a listener whose clients are in this process.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error {
	select {
	case <-p.done:
	default:
		close(p.done)
	}
	return nil
}

func (pipes) Addr() net.Addr { return &net.TCPAddr{} }

// Who has no token cannot hold a connection by sending slowly.
func TestStrangersThatSendSlowly(t *testing.T) {
	for name, sent := range map[string]string{
		"half a header":         "POST / HTTP/1.1\r\nHost:",
		"no body after all":     "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n",
		"a body that stops":     "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
		"a body without an end": "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"a very long body":      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000000\r\n\r\n{",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := pipes{make(chan net.Conn), make(chan struct{})}
				ctx, stop := context.WithCancel(t.Context())
				var serving errgroup.Group
				serving.Go(func() error {
					return Serve(ctx, l, Options{Token: secret, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("let in") })})
				})
				ours, theirs := net.Pipe()
				l.conns <- theirs
				began := time.Now()
				serving.Go(func() error {
					_, _ = io.WriteString(ours, sent)
					return nil
				})
				_ = ours.SetReadDeadline(time.Now().Add(time.Hour))
				b, err := io.ReadAll(bufio.NewReader(ours))
				if held := time.Since(began); errors.Is(err, os.ErrDeadlineExceeded) || held > time.Minute {
					t.Errorf("held for %s: %q, %v", held, b, err)
				}
				if strings.Contains(sent, "\r\n\r\n") && !strings.HasPrefix(string(b), "HTTP/1.1 401 ") {
					t.Errorf("answered with %q", b)
				}
				_ = ours.Close()
				stop()
				if err := serving.Wait(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
