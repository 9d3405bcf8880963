package cli

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/justrl/justrl/internal/guard"
	"github.com/justrl/justrl/updater/engine"
)

// Defaults of the embedded server.
const (
	defaultListen = "127.0.0.1:8000"
	defaultCache  = 1024 // MiB
	maxCache      = 1 << 24
)

func serveCommand() *cli.Command {
	return &cli.Command{
		Name:  "serve",
		Usage: "serve a model over vLLM's HTTP API, on this machine's CPU",
		Description: "Answers do not depend on what else is asked at the same time: same request, same seed, same bits.\n" +
			"An address that other machines can reach needs --api-key or JUSTRL_API_KEY, which every route but /health then\n" +
			"asks for; on the loopback address the routes that load weights ask for none, as vLLM's. Ctrl-C ends it.",
		Flags: []cli.Flag{
			modelFlag("`DIR` of the model in the Hugging Face layout"),
			&cli.StringFlag{Name: "listen", EnvVars: []string{"JUSTRL_LISTEN"}, Value: defaultListen, Usage: "`HOST:PORT` to listen on; port 0 takes a free one"},
			&cli.StringSliceFlag{Name: "served-model-name", EnvVars: []string{"JUSTRL_SERVED_MODEL"}, DefaultText: "the folder as given", Usage: "`NAME` of the model for clients; may be repeated"},
			&cli.StringFlag{Name: "api-key", EnvVars: []string{"JUSTRL_API_KEY"}, Usage: "bearer `KEY` that clients must send to /v1/…"},
			&cli.IntFlag{Name: "max-model-len", DefaultText: "what the model and the cache allow", Usage: "context of `N` tokens, prompt and answer together"},
			&cli.IntFlag{Name: "max-num-seqs", Value: engine.DefaultMaxSequences, Usage: "samples that run at a time: `N`"},
			&cli.IntFlag{Name: "kv-cache-mib", Value: defaultCache, Usage: "`MiB` of memory for keys and values"},
			&cli.StringFlag{Name: "logprobs-mode", Value: "raw_logprobs", Usage: "log-probs of the model (raw_logprobs) or of what is drawn from (processed_logprobs): `MODE`"},
			&cli.BoolFlag{Name: "invariant", Value: true, Usage: "answers do not depend on the batch; =false leaves the matrix products to libtorch, for comparison"},
			threadsFlag(),
		},
		OnUsageError: usageError,
		Action: func(c *cli.Context) error {
			if err := errors.Join(noArguments(c), need(c, "model")); err != nil {
				return err
			}
			o := embeddedOptions{
				model: c.String("model"), names: c.StringSlice("served-model-name"), listen: c.String("listen"), apiKey: c.String("api-key"),
				context: c.Int("max-model-len"), sequences: c.Int("max-num-seqs"), cache: int64(min(c.Int("kv-cache-mib"), maxCache+1)) << 20, threads: c.Int("threads"),
				processed: c.String("logprobs-mode") == "processed_logprobs", batched: !c.Bool("invariant"),
			}
			if err := o.check(c.String("logprobs-mode")); err != nil {
				return usage(err)
			}
			return serve(c, o)
		},
	}
}

// check reports every fault at once, and fills in the name.
func (o *embeddedOptions) check(logprobsMode string) error {
	var errs []error
	must := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	must(o.context == 0 || o.context >= 2, "--max-model-len must be at least 2, is %d", o.context)
	must(o.sequences >= 1, "--max-num-seqs must be at least 1, is %d", o.sequences)
	must(o.cache > 0 && o.cache <= maxCache<<20, "--kv-cache-mib must be from 1 to %d", maxCache)
	must(!slices.Contains(o.names, ""), "--served-model-name must not be empty")
	must(o.threads >= 0, "--threads must be 0 (all cores) or more, is %d", o.threads)
	must(logprobsMode == "raw_logprobs" || o.processed, "--logprobs-mode must be raw_logprobs or processed_logprobs, is %q", logprobsMode)
	_, _, err := net.SplitHostPort(o.listen)
	must(err == nil, "--listen must be HOST:PORT, is %q", o.listen)
	must(err != nil || o.apiKey != "" || guard.Loopback(o.listen), "--listen %s: %w; give --api-key (better the variable JUSTRL_API_KEY), or listen on 127.0.0.1", o.listen, guard.ErrOpen)
	if weak := guard.CheckToken(o.apiKey); err == nil && weak != nil && !guard.Loopback(o.listen) {
		errs = append(errs, fmt.Errorf("--listen %s: other machines can reach that address, and --api-key can be guessed: %w", o.listen, weak))
	}
	if len(o.names) == 0 {
		o.names = []string{o.model}
	}
	return errors.Join(errs...)
}

func serve(c *cli.Context, o embeddedOptions) error {
	if _, err := os.Stat(filepath.Join(o.model, "config.json")); err != nil {
		return usage(fmt.Errorf("--model %s: %w", o.model, err))
	}
	s, err := startEmbedded(c.Context, o)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(c.App.Writer, "serving %s on %s (context %d tokens, %d samples at a time); Ctrl-C ends it\n", o.names[0], s.url, s.decoder.MaxLen(), o.sequences); err != nil {
		return errors.Join(err, s.Close())
	}
	select {
	case <-c.Done():
	case <-s.done:
	}
	return s.Close()
}
