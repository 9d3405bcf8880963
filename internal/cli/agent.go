package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/bridge/agent"
	"github.com/justrl/justrl/bridge/share"
	bridgevllm "github.com/justrl/justrl/bridge/vllm"
	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/internal/guard"
	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/sampler/vllm"
)

func agentCommand() *cli.Command {
	return &cli.Command{
		Name:  "agent",
		Usage: "load a trainer's snapshots into the server beside it, which shares no disk with the trainer",
		Description: "Fetches snapshots from the trainer's run --share, as its run --agent asks for, into --dir, which the server\n" +
			"must read under the same path. Only chunks that no earlier snapshot has travel. --api-key and --header are\n" +
			"the server's. An address that other machines can reach needs a token. Ctrl-C ends it.",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "listen", EnvVars: []string{"JUSTRL_AGENT_LISTEN"}, Value: "127.0.0.1:8100", Usage: "`HOST:PORT` to listen on; port 0 takes a free one"},
			&cli.StringFlag{Name: "dir", EnvVars: []string{"JUSTRL_AGENT_DIR"}, Usage: "`DIR` of its own for snapshots"},
			&cli.StringFlag{Name: "server", EnvVars: []string{"JUSTRL_SERVER"}, Usage: "`URL` of the vLLM server to load into, in development mode"},
			&cli.StringFlag{Name: "sync", EnvVars: []string{"JUSTRL_AGENT_SYNC"}, Value: config.SyncAuto, Usage: "`HOW` the server is loaded: auto, files, transfer, or in-place, which writes over the files of the folder that the server was started with: never the trainer's own model"},
			&cli.StringFlag{Name: "served-model", EnvVars: []string{"JUSTRL_SERVED_MODEL"}, Usage: "`NAME` of the model on the server (default: the only one it serves)"},
			&cli.StringFlag{Name: "trainer", EnvVars: []string{"JUSTRL_TRAINER"}, Usage: "`URL` of the trainer's run --share, the only address that snapshots are fetched from"},
			&cli.StringFlag{Name: "token-file", EnvVars: []string{"JUSTRL_SHARE_TOKEN_FILE"}, Usage: "read the token between trainer and agents from `FILE` (or set JUSTRL_SHARE_TOKEN)"},
			&cli.StringFlag{Name: "cert", EnvVars: []string{"JUSTRL_AGENT_CERT"}, Usage: "listen with TLS, with the certificate in `FILE` (PEM)"},
			&cli.StringFlag{Name: "key", EnvVars: []string{"JUSTRL_AGENT_KEY"}, Usage: "and its key in `FILE` (PEM)"},
			&cli.IntFlag{Name: "keep", Value: 2, Usage: "`N` snapshots at most in --dir, the one that is coming included; at least 2"},
		}, accessFlags()...),
		OnUsageError: usageError,
		Action: func(c *cli.Context) error {
			if err := errors.Join(noArguments(c), need(c, "dir", "server", "trainer")); err != nil {
				return err
			}
			if n := c.Int("keep"); n < 2 {
				return usagef("--keep must be at least 2, the snapshot that is loaded and the one that is coming, is %d", n)
			}
			if _, _, err := net.SplitHostPort(c.String("listen")); err != nil {
				return usagef("--listen must be HOST:PORT, is %q", c.String("listen"))
			}
			if how := c.String("sync"); !slices.Contains(agentWays, how) {
				return usagef("--sync is one of %s, is %q", strings.Join(agentWays, ", "), how)
			}
			return beAgent(c)
		},
	}
}

func beAgent(c *cli.Context) (err error) {
	var open closers
	defer func() { err = errors.Join(err, open.close()) }()
	token, err := shareToken(c, "token-file")
	if err != nil {
		return usage(err)
	}
	certificate, err := guard.Certificate(c.String("cert"), c.String("key"))
	if err != nil {
		return usage(fmt.Errorf("--cert, --key: %w", err))
	}
	how, err := access(c)
	if err != nil {
		return usage(err)
	}
	server, err := endpoint.New(c.String("server"), how)
	if err != nil {
		return usage(fmt.Errorf("--server: %w", err))
	}
	open.add(closing(server))
	trainer, err := endpoint.New(c.String("trainer"), endpoint.Options{APIKey: token, TLS: how.TLS, MaxReply: share.MaxManifest})
	if err != nil {
		return usage(fmt.Errorf("--trainer: %w", err))
	}
	open.add(closing(trainer))
	listener, err := guard.Listen(c.Context, c.String("listen"), token != "")
	if err != nil {
		return usage(fmt.Errorf("--listen %w%s", err, tokenHint(err, "token-file", tokenVariable)))
	}
	look := func(ctx context.Context) (string, error) { return besideWay(ctx, server, c.String("sync")) }
	a, err := agent.New(agent.Options{
		Dir: c.String("dir"), Keep: c.Int("keep"), Trainer: trainer, Notify: lines(c.App.ErrWriter), Server: server.URL(), Look: look,
		Open: beside(server, c.String("served-model"), look),
	})
	if err != nil {
		return errors.Join(fmt.Errorf("--dir: %w", err), listener.Close())
	}
	open.add(a.Close)
	scheme := "http"
	if certificate != nil {
		scheme = "https"
	}
	if _, err := fmt.Fprintf(c.App.Writer, "agent of %s on %s://%s, snapshots in %s; Ctrl-C ends it\n", server, scheme, listener.Addr(), c.String("dir")); err != nil {
		return errors.Join(err, listener.Close())
	}
	return guard.Serve(c.Context, listener, guard.Options{Handler: a, Token: token, TLS: certificate})
}

// beside makes what loads a run's snapshots into the server beside the agent, in
// the way that look finds for it.
func beside(server *endpoint.Endpoint, served string, look func(context.Context) (string, error)) func(ctx context.Context, run string, first bridge.Snapshot) (bridge.Publisher, error) {
	return func(ctx context.Context, run string, first bridge.Snapshot) (bridge.Publisher, error) {
		info, err := vllm.Probe(ctx, server, served, probing)
		if err != nil {
			return nil, err
		}
		way, err := look(ctx)
		if err != nil {
			return nil, err
		}
		want, err := inspector{}.Tensors(first.Dir)
		if err != nil {
			return nil, err
		}
		return bridgevllm.New(server, bridgevllm.Options{Model: info.Model, Run: run, Want: want, Inspector: inspector{}, Open: openWeights, Sync: way})
	}
}

// agentWays are what --sync of an agent may be.
var agentWays = []string{config.SyncAuto, bridgevllm.WayFiles, bridgevllm.WayTransfer, bridgevllm.WayInPlace}

// besideWay is the way in which an agent loads its server: want, or for auto the
// best that the server offers and that leaves its files alone. Whether the folder
// is anybody's only copy of a model, or the trainer's, an agent cannot know.
func besideWay(ctx context.Context, server *endpoint.Endpoint, want string) (string, error) {
	var gone *endpoint.UnreachableError
	if err := server.Do(ctx, http.MethodGet, "/version", nil, nil); errors.As(err, &gone) { // who asks shall not wait for it
		return "", err
	}
	offers, err := bridgevllm.Ways(ctx, server)
	if err != nil {
		return "", err
	}
	cannot := func(what, hint string) (string, error) {
		return "", &bridge.UnsupportedError{Server: server.URL(), What: what, Hint: hint}
	}
	far := !server.Loopback()
	switch {
	case len(offers) == 0:
		return cannot("has no /is_paused: vLLM's dev mode is off, so weights cannot be reloaded", vllm.StartHint)
	case want == bridgevllm.WayTransfer && far:
		return cannot("is on another machine than its agent, and --sync transfer is for servers on the same one", "use justrl agent --sync files")
	case want != config.SyncAuto && !slices.Contains(offers, want):
		return cannot("cannot be loaded by justrl agent --sync "+want, "it offers "+strings.Join(offers, ", "))
	case want != config.SyncAuto:
		return want, nil
	}
	for _, way := range offers {
		if way == bridgevllm.WayFiles || way == bridgevllm.WayTransfer && !far {
			return way, nil
		}
	}
	return cannot("is too old to reload from a folder that is named", "use vLLM 0.18 or later, or have the files that it was started with overwritten: justrl agent --sync in-place")
}

func closing(e *endpoint.Endpoint) func() error {
	return func() error {
		e.Close()
		return nil
	}
}
