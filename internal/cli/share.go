package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/bridge/agent"
	"github.com/justrl/justrl/bridge/share"
	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/internal/guard"
	"github.com/justrl/justrl/orchestrator/config"
)

// shareFlags say how agents beside the servers get a run's snapshots. The token
// and its file are recorded nowhere.
func shareFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "share", EnvVars: []string{"JUSTRL_SHARE"}, Usage: "let agents fetch the snapshots on `HOST:PORT`"},
		agentFlag(), shareTokenFlag(),
		&cli.StringFlag{Name: "share-cert", EnvVars: []string{"JUSTRL_SHARE_CERT"}, Usage: "share over TLS with the certificate in `FILE` (PEM)"},
		&cli.StringFlag{Name: "share-key", EnvVars: []string{"JUSTRL_SHARE_KEY"}, Usage: "and its key in `FILE` (PEM)"},
	}
}

func agentFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "agent", EnvVars: []string{"JUSTRL_AGENT"}, Usage: "`URL` of the justrl agent beside the server, SERVER=URL where there are several; may be repeated"}
}

func shareTokenFlag() cli.Flag {
	return &cli.StringFlag{Name: "share-token-file", EnvVars: []string{"JUSTRL_SHARE_TOKEN_FILE"}, Usage: "read the token between trainer and agents from `FILE` (or set JUSTRL_SHARE_TOKEN)"}
}

// tokenVariable holds the token itself; no flag does, as others on the machine
// can see arguments.
const tokenVariable = "JUSTRL_SHARE_TOKEN"

// shareToken is the token between a trainer and its agents; "" without one. A
// file that is named on the command line goes before the variable.
func shareToken(c *cli.Context, flag string) (string, error) {
	return readToken(c, flag, tokenVariable)
}

// readToken is the token of a variable, or of the file that a flag names.
func readToken(c *cli.Context, flag, variable string) (string, error) {
	value := os.Getenv(variable)
	if given(c, flag) {
		value = ""
	}
	token, err := guard.ReadToken(value, c.String(flag))
	if err != nil {
		return "", fmt.Errorf("--%s or %s: %w", flag, variable, err)
	}
	return token, nil
}

// checkSharing tells the faults of publish.share and publish.agents.
func checkSharing(cfg config.Config) error {
	p := cfg.Publish
	if p.Share != "" {
		if _, _, err := net.SplitHostPort(p.Share); err != nil {
			return fmt.Errorf("--share (publish.share) must be HOST:PORT, is %q", p.Share)
		}
	}
	if len(p.Agents) > 0 && p.Share == "" {
		return errors.New("--agent (publish.agents) needs --share HOST:PORT, where agents fetch the snapshots")
	}
	return checkAgents(cfg)
}

// checkAgents tells the faults of publish.agents alone.
func checkAgents(cfg config.Config) error {
	p := cfg.Publish
	if len(p.Agents) == 0 {
		return nil
	}
	if len(cfg.Server) == 0 {
		return errors.New("--agent (publish.agents) needs --server: the embedded server reads this machine's disk")
	}
	var seen []string
	for _, a := range p.Agents {
		server, url := splitAgent(a)
		if server == "" && len(cfg.Server) == 1 {
			server = trimmed(cfg.Server[0])
		}
		switch {
		case server == "":
			return fmt.Errorf("--agent %s: which server's is it? with several, write SERVER=URL", endpoint.Redact(url))
		case !slices.ContainsFunc(cfg.Server, func(s string) bool { return trimmed(s) == server }):
			return fmt.Errorf("--agent %s=%s: there is no such --server", endpoint.Redact(server), endpoint.Redact(url))
		case slices.Contains(seen, server):
			return fmt.Errorf("--agent: %s has two", endpoint.Redact(server))
		}
		seen = append(seen, server)
	}
	return nil
}

// splitAgent takes SERVER=URL apart; server is "" where only the agent is named.
func splitAgent(s string) (server, url string) {
	for _, scheme := range []string{"=http://", "=https://"} {
		if i := strings.Index(s, scheme); i >= 0 {
			return trimmed(s[:i]), s[i+1:]
		}
	}
	return "", s
}

func trimmed(url string) string { return strings.TrimRight(url, "/") }

// agentOf is the agent beside a server, which is asked nothing yet, and how it is
// reached; nil without one.
func agentOf(c *cli.Context, cfg config.Config, server string) (e *endpoint.Endpoint, how endpoint.Options, err error) {
	for _, a := range cfg.Publish.Agents {
		of, url := splitAgent(a)
		if of != "" && of != trimmed(server) {
			continue
		}
		if how.APIKey, err = shareToken(c, "share-token-file"); err != nil {
			return nil, how, err
		}
		if how.TLS, err = trusting(c.String("ca-file")); err != nil {
			return nil, how, err
		}
		if e, err = endpoint.New(url, how); err != nil {
			return nil, how, fmt.Errorf("--agent: %w", err)
		}
		return e, how, nil
	}
	return nil, how, nil
}

// throughAgent is the publisher of a server: direct, or by the agent beside it,
// if it has one; tokens are asked of the server itself in either case.
func (s *server) throughAgent(run string, want []bridge.Tensor, direct bridge.Publisher) (bridge.Publisher, error) {
	if s.agent == nil {
		return direct, nil
	}
	prober, ok := direct.(bridge.CacheProber)
	if !ok {
		return nil, usage(fmt.Errorf("--agent: %s is no vLLM, and justrl agent loads no other kind", s.name))
	}
	return agent.NewPublisher(s.agent, agent.PublisherOptions{Run: run, Server: s.name, Want: want, Inspector: inspector{}, Prober: prober})
}

// sharing is what lets agents fetch a run's snapshots.
type sharing struct {
	listener net.Listener // nil where nothing is shared
	token    string
	tls      *tls.Config
	stop     context.CancelFunc // nil before start
	serving  errgroup.Group
}

// openSharing opens the listener, so that a run that cannot share fails before
// anything is written. Nothing is answered before start.
func openSharing(c *cli.Context, cfg config.Config) (s *sharing, err error) {
	s = &sharing{}
	if cfg.Publish.Share == "" {
		return s, nil
	}
	if s.token, err = shareToken(c, "share-token-file"); err != nil {
		return nil, err
	}
	if s.tls, err = guard.Certificate(c.String("share-cert"), c.String("share-key")); err != nil {
		return nil, fmt.Errorf("--share-cert, --share-key: %w", err)
	}
	if s.listener, err = guard.Listen(c.Context, cfg.Publish.Share, s.token != ""); err != nil {
		return nil, fmt.Errorf("--share %w%s", err, tokenHint(err, "share-token-file", tokenVariable))
	}
	return s, nil
}

// tokenHint says what a listener that is refused needs.
func tokenHint(err error, flag, variable string) string {
	if errors.Is(err, guard.ErrOpen) {
		return fmt.Sprintf("; give --%s FILE or %s", flag, variable)
	}
	return ""
}

// start answers from now on with the snapshots of a run.
func (s *sharing) start(ctx context.Context, run, root string) error {
	if s.listener == nil {
		return nil
	}
	h, err := share.New(share.Options{Run: run, Open: func(version int64) (bridge.Snapshot, error) { return bridge.Find(root, version) }})
	if err != nil {
		return err
	}
	// A step under way publishes before it obeys an interrupt.
	ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.serving.Go(func() error {
		return guard.Serve(ctx, s.listener, guard.Options{Handler: h, Token: s.token, TLS: s.tls})
	})
	return nil
}

// Close ends the transfers under way.
func (s *sharing) Close() error {
	if s.stop == nil {
		if s.listener == nil {
			return nil
		}
		return s.listener.Close()
	}
	s.stop()
	return s.serving.Wait()
}
