package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/internal/guard"
	"github.com/justrl/justrl/orchestrator/dashboard"
)

// listenVariable holds the token of --listen itself.
const listenVariable = "JUSTRL_LISTEN_TOKEN"

// listenFlags say where a run can be looked at. They belong to a machine and are
// recorded nowhere.
func listenFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "listen", EnvVars: []string{"JUSTRL_RUN_LISTEN"}, Usage: "let the run be looked at on `HOST:PORT`: its page for a browser, /metrics for Prometheus, /healthz; port 0 takes a free one"},
		&cli.StringFlag{Name: "listen-token-file", EnvVars: []string{"JUSTRL_LISTEN_TOKEN_FILE"}, Usage: "ask for the token in `FILE` there (or in JUSTRL_LISTEN_TOKEN); needed where other machines can reach it"},
		&cli.StringFlag{Name: "listen-cert", EnvVars: []string{"JUSTRL_LISTEN_CERT"}, Usage: "answer over TLS with the certificate in `FILE` (PEM)"},
		&cli.StringFlag{Name: "listen-key", EnvVars: []string{"JUSTRL_LISTEN_KEY"}, Usage: "and its key in `FILE` (PEM)"},
	}
}

// listening is the web server of a run. Routes are added to Server at any time.
type listening struct {
	*dashboard.Server
	listener net.Listener // nil without --listen; the routes are then for nobody
	tls      *tls.Config
	stop     context.CancelFunc // nil before start
	serving  errgroup.Group
}

// openListening opens the listener, so that a run that cannot be looked at where
// it was asked to fails before anything is written. The caller closes it.
func openListening(c *cli.Context) (l *listening, err error) {
	address := c.String("listen")
	if address == "" {
		return &listening{Server: dashboard.New("")}, nil
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		return nil, fmt.Errorf("--listen must be HOST:PORT, is %q", address)
	}
	token, err := readToken(c, "listen-token-file", listenVariable)
	if err != nil {
		return nil, err
	}
	l = &listening{Server: dashboard.New(token)}
	if l.tls, err = guard.Certificate(c.String("listen-cert"), c.String("listen-key")); err != nil {
		return nil, fmt.Errorf("--listen-cert, --listen-key: %w", err)
	}
	if l.listener, err = guard.Listen(c.Context, address, token != ""); err != nil {
		return nil, fmt.Errorf("--listen %w%s", err, tokenHint(err, "listen-token-file", listenVariable))
	}
	return l, nil
}

// start answers from now on, until Close: a run that is interrupted can be
// looked at while it ends.
func (l *listening) start(ctx context.Context) {
	if l.listener == nil {
		return
	}
	ctx, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	l.serving.Go(func() error {
		// The token is asked for by route.
		return guard.Serve(ctx, l.listener, guard.Options{Handler: l.Server, TLS: l.tls})
	})
}

// url is where it answers; "" without --listen.
func (l *listening) url() string {
	if l.listener == nil {
		return ""
	}
	scheme := "http"
	if l.tls != nil {
		scheme = "https"
	}
	return scheme + "://" + l.listener.Addr().String()
}

// Close ends the answers under way.
func (l *listening) Close() error {
	switch {
	case l.listener == nil:
		return nil
	case l.stop == nil:
		return l.listener.Close()
	}
	l.stop()
	if err := l.serving.Wait(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("--listen: %w", err)
	}
	return nil
}
