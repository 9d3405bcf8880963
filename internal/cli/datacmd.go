package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/justrl/justrl/benchmarks/sets"
	"github.com/justrl/justrl/internal/hub"
)

func dataCommand() *cli.Command {
	return &cli.Command{
		Name:  "data",
		Usage: "fetch, list and verify benchmark sets, and data sets and models of the Hugging Face hub",
		Description: "The nine sets of the paper go to $XDG_CACHE_HOME/justrl (~/.cache/justrl) or to --data-dir; JUSTRL_BENCHMARKS_URL\n" +
			"names a mirror of their origin. The hub's files go where Python's huggingface_hub has them, which both then share;\n" +
			"HF_TOKEN, HF_ENDPOINT, HF_HOME, HF_HUB_CACHE and HF_HUB_OFFLINE are what they are there.",
		HideHelpCommand: true,
		OnUsageError:    dataUsage("data"),
		Subcommands:     []*cli.Command{dataFetchCommand(), dataListCommand(), dataVerifyCommand()},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usagef("data has no command %q: it has fetch, list and verify; see justrl data --help", c.Args().First())
			}
			return cli.ShowSubcommandHelp(c)
		},
	}
}

// dataUsage is usageError for a command below another.
func dataUsage(name string) cli.OnUsageErrorFunc {
	return func(_ *cli.Context, err error, _ bool) error {
		return usagef("%s: %w; see justrl %s --help", name, err, name)
	}
}

func dataDirFlag(otherwise string) cli.Flag {
	return &cli.StringFlag{Name: "data-dir", EnvVars: []string{"JUSTRL_DATA_DIR"}, DefaultText: otherwise, Usage: "`DIR` of the sets, as NAME.parquet or NAME/test.parquet"}
}

// needDataDir says that a folder of sets, "" for the cache, is none.
func needDataDir(dir string) error {
	if dir == "" {
		return nil
	}
	st, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("--data-dir %s: there is no such folder", dir)
	case err != nil:
		return fmt.Errorf("--data-dir: %w", err)
	case !st.IsDir():
		return fmt.Errorf("--data-dir %s is not a folder", dir)
	}
	return nil
}

func jsonFlag() cli.Flag {
	return &cli.BoolFlag{Name: "json", DisableDefaultText: true, Usage: "print JSON Lines"}
}

func kindFlag() cli.Flag {
	return &cli.StringFlag{Name: "type", Value: hub.Dataset, Usage: "what an id of the hub is of: `TYPE` dataset or model"}
}

func revisionFlag() cli.Flag {
	return &cli.StringFlag{Name: "revision", Value: hub.DefaultRevision, Usage: "branch, tag or commit of what is on the hub: `REV`"}
}

// dapo is the paper's training data.
var dapo = hub.Ref{Kind: hub.Dataset, ID: "BytedTsinghua-SIA/DAPO-Math-17k", Revision: hub.DefaultRevision, File: "data/dapo-math-17k.parquet"}

// dapoName is what the command line calls it.
const dapoName = "dapo"

// target is one thing to fetch or verify: a set, or something of the hub.
type target struct {
	set   *sets.Set
	ref   hub.Ref
	named bool // on the command line itself, not by "all" or by nothing
}

// targets reads the words of a command line.
func targets(c *cli.Context) ([]target, error) {
	kind, revision := c.String("type"), c.String("revision")
	if kind != hub.Dataset && kind != hub.Model {
		return nil, fmt.Errorf("--type must be %s or %s, is %q", hub.Dataset, hub.Model, kind)
	}
	var out []target
	for _, word := range c.Args().Slice() {
		switch {
		case strings.HasPrefix(word, "-"):
			return nil, fmt.Errorf("%s comes after a word: flags go before the names or after them, not on both sides", word)
		case strings.EqualFold(word, "all"):
			out = append(out, allSets()...)
			continue
		case strings.EqualFold(word, dapoName):
			r := dapo
			if c.IsSet("revision") {
				r.Revision = revision
			}
			out = append(out, target{ref: r, named: true})
			continue
		case strings.Contains(word, "/"):
			if c.IsSet("revision") && !strings.Contains(word, "@") {
				word = pinned(word, revision)
			}
			r, err := hub.ParseRef(word, kind)
			if err != nil {
				return nil, err
			}
			out = append(out, target{ref: r, named: true})
			continue
		}
		set, err := sets.Lookup(word)
		if err != nil {
			return nil, fmt.Errorf("%w, all, %s, and any ORG/NAME of the Hugging Face hub", err, dapoName)
		}
		out = append(out, target{set: &set, named: true})
	}
	for _, t := range out {
		if t.set == nil && given(c, "data-dir") {
			return nil, fmt.Errorf("--data-dir is for the nine sets; %s goes to the hub's cache, which HF_HUB_CACHE moves", t.ref)
		}
	}
	return out, nil
}

// pinned puts a revision into an id, where ParseRef looks for it.
func pinned(word, revision string) string {
	scheme := ""
	for _, s := range []string{"hf://datasets/", "hf://models/", "hf://"} {
		if rest, ok := strings.CutPrefix(word, s); ok {
			scheme, word = s, rest
			break
		}
	}
	parts := strings.SplitN(word, "/", 3)
	parts[1] += "@" + strings.ReplaceAll(revision, "/", "%2F")
	return scheme + strings.Join(parts, "/")
}

func allSets() (out []target) {
	for _, s := range sets.All() {
		out = append(out, target{set: &s})
	}
	return out
}

// found is a line of the data commands' output.
type found struct {
	Name   string `json:"name"`
	Type   string `json:"type"`   // set, dataset or model
	Status string `json:"status"` // see the commands
	K      int    `json:"k,omitempty"`
	Rows   int    `json:"rows,omitempty"`
	Files  int    `json:"files,omitempty"`
	Bytes  int64  `json:"bytes,omitempty"`
	Commit string `json:"commit,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
	Origin string `json:"origin,omitempty"`
	Path   string `json:"path,omitempty"` // "" if nothing is there
	Error  string `json:"error,omitempty"`
}

func printFound(w io.Writer, all []found, asJSON bool) error {
	if asJSON {
		enc := jsonLines(w)
		for _, f := range all {
			if err := enc.Encode(f); err != nil {
				return err
			}
		}
		return nil
	}
	if len(all) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	_, err := fmt.Fprintln(t, "NAME\tTYPE\tAVG@K\tROWS\tSIZE\tSTATUS\tPATH")
	for _, f := range all {
		if err != nil {
			break
		}
		k, rows, size := "-", "-", "-"
		if f.K > 0 {
			k = fmt.Sprint(f.K)
		}
		if f.Rows > 0 {
			rows = fmt.Sprint(f.Rows)
		}
		if f.Bytes > 0 {
			size = sizeOf(f.Bytes)
		}
		path := f.Path
		if path == "" {
			path = "-"
		}
		_, err = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", f.Name, f.Type, k, rows, size, f.Status, path)
	}
	return errors.Join(err, t.Flush())
}

// sizeOf is a number of bytes as people read it.
func sizeOf(n int64) string {
	switch {
	case n < 10_000:
		return fmt.Sprintf("%d B", n)
	case n < 10_000_000:
		return fmt.Sprintf("%.0f kB", float64(n)/1e3)
	case n < 10_000_000_000:
		return fmt.Sprintf("%.0f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}

// openHub is a client of the hub as the environment has it, whose transfers are shown on
// stderr. The caller closes both.
func openHub(stderr io.Writer, format string) (*hub.Client, *transfers, error) {
	o, err := hub.FromEnv(os.Getenv)
	if err != nil {
		return nil, nil, usage(err)
	}
	show := newTransfers(stderr, format)
	o.Progress, o.Notice = show.Progress, show.Notice
	client, err := hub.New(o)
	if err != nil {
		return nil, nil, errors.Join(usage(err), show.Close())
	}
	return client, show, nil
}

// withHub is openHub for the time of do.
func withHub(ctx context.Context, stderr io.Writer, format string, do func(context.Context, *hub.Client, *transfers) error) error {
	client, show, err := openHub(stderr, format)
	if err != nil {
		return err
	}
	err = do(ctx, client, show)
	client.Close()
	return errors.Join(err, show.Close())
}
