package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"text/tabwriter"

	ollama "github.com/ollama/ollama/api"
	"github.com/urfave/cli/v2"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
	samplerollama "github.com/justrl/justrl/sampler/ollama"
	"github.com/justrl/justrl/sampler/vllm"
	"github.com/justrl/justrl/updater/model"
)

// diagnosis is what doctor says of one server.
type diagnosis struct {
	URL       string       `json:"url"`
	Kind      string       `json:"kind"` // vllm, ollama, unknown
	Reachable bool         `json:"reachable"`
	Trainable bool         `json:"trainable"` // `justrl run` can use it as it is
	Problem   string       `json:"problem,omitempty"`
	Info      sampler.Info `json:"info"`
}

func doctorCommand() *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "say what a server is and whether justrl run can train against it",
		Flags: append([]cli.Flag{
			&cli.StringSliceFlag{Name: "server", EnvVars: []string{"JUSTRL_SERVER"}, Usage: "`URL` of a server; may be repeated"},
			&cli.StringFlag{Name: "served-model", EnvVars: []string{"JUSTRL_SERVED_MODEL"}, Usage: "`NAME` of the model on the server (default: the only one it serves)"},
			modelFlag("compare with the model in `DIR`"),
			&cli.BoolFlag{Name: "json", DisableDefaultText: true, Usage: "print JSON"},
		}, accessFlags()...),
		OnUsageError: usageError,
		Action: func(c *cli.Context) error {
			if err := errors.Join(noArguments(c), need(c, "server")); err != nil {
				return err
			}
			vocab := 0
			if dir := c.String("model"); dir != "" {
				spec, err := model.Load(dir)
				if err != nil {
					return err
				}
				vocab = spec.Vocab
			}
			how, err := access(c)
			if err != nil {
				return usage(err)
			}
			var all []diagnosis
			var faults []error
			for _, address := range c.StringSlice("server") {
				d, err := diagnose(c.Context, address, how, c.String("served-model"), vocab)
				all, faults = append(all, d), append(faults, err)
			}
			if err := printDiagnoses(c.App.Writer, all, c.Bool("json")); err != nil {
				return err
			}
			return errors.Join(faults...)
		},
	}
}

func diagnose(ctx context.Context, address string, how endpoint.Options, served string, vocab int) (diagnosis, error) {
	d := diagnosis{URL: address, Kind: "unknown"}
	fail := func(err error) (diagnosis, error) {
		d.Problem = err.Error()
		return d, err
	}
	e, err := endpoint.New(address, how)
	if err != nil {
		return fail(usage(err))
	}
	defer e.Close()
	d.URL = e.URL()
	if version, ok := ollamaVersion(ctx, e); ok {
		d.Kind, d.Reachable, d.Info.Version = "ollama", true, version
		info, err := samplerollama.Probe(ctx, e, served, probing)
		if err != nil {
			return fail(err)
		}
		d.Info = info
		return fail(samplerollama.ForTraining(info, d.URL, cmp.Or(vocab, info.Vocab), false))
	}
	info, err := vllm.Probe(ctx, e, served, probing)
	var unreachable *endpoint.UnreachableError
	d.Info, d.Reachable = info, !errors.As(err, &unreachable)
	if err != nil {
		return fail(err)
	}
	if info.Version != "" {
		d.Kind = "vllm"
	}
	if vocab == 0 {
		vocab = info.Vocab
	}
	if err := vllm.ForTraining(info, d.URL, vocab); err != nil {
		return fail(err)
	}
	d.Trainable = true
	return d, nil
}

// ollamaVersion asks as Ollama's own client does; ok is false for any other server.
func ollamaVersion(ctx context.Context, e *endpoint.Endpoint) (version string, ok bool) {
	root, err := url.Parse(e.URL())
	if err != nil {
		return "", false
	}
	version, err = ollama.NewClient(root, endpoint.Through(e)).Version(ctx)
	return version, err == nil && version != ""
}

func printDiagnoses(w io.Writer, all []diagnosis, asJSON bool) error {
	if asJSON {
		enc := jsonLines(w)
		for _, d := range all {
			if err := enc.Encode(d); err != nil {
				return err
			}
		}
		return nil
	}
	for _, d := range all {
		t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
		rows := [][2]string{{"server", d.URL}, {"kind", d.Kind}}
		if d.Reachable {
			i := d.Info
			rows = append(rows, [][2]string{
				{"version", i.Version}, {"model", i.Model}, {"loaded from", i.Root},
				{"context", number(i.MaxModelLen, "tokens")}, {"vocabulary", number(i.Vocab, "ids")},
				{"log-probs", string(i.LogprobsMode)}, {"weights version", i.WeightVersion}, {"dev mode", yesNo(i.DevMode)},
			}...)
		}
		rows = append(rows, [2]string{"trainable", yesNo(d.Trainable)})
		for _, r := range rows {
			if r[1] == "" {
				r[1] = "unknown"
			}
			if _, err := fmt.Fprintf(t, "%s\t%s\n", r[0], r[1]); err != nil {
				return err
			}
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func number(n int, unit string) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n) + " " + unit
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
