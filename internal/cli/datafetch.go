package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/justrl/justrl/benchmarks/sets"
	"github.com/justrl/justrl/internal/hub"
)

// The statuses of what was to be fetched.
const (
	statusFetched = "fetched"
	statusThere   = "there" // before, and nothing was sent
)

func dataFetchCommand() *cli.Command {
	return &cli.Command{
		Name:      "fetch",
		Usage:     "bring sets, data sets or models to this machine, each file checked; run it again to go on where it stopped",
		ArgsUsage: "NAME|all|dapo|ORG/NAME[@REV][/FILE]…",
		Description: "NAME is one of the nine sets, all is the nine, dapo is DAPO-Math-17k, the paper's training data; anything else is an\n" +
			"id of the Hugging Face hub. Of a model come the configuration, the tokenizer and the safetensors weights; --include\n" +
			"names other files.",
		Flags: []cli.Flag{
			dataDirFlag("the cache"), kindFlag(), revisionFlag(),
			&cli.StringSliceFlag{Name: "include", Usage: "of what is on the hub, only files that match `GLOB`; may be repeated"},
			jsonFlag(),
		},
		OnUsageError: dataUsage("data fetch"),
		Action: func(c *cli.Context) error {
			todo, err := targets(c)
			if err == nil && len(todo) == 0 {
				err = errors.New("say what: a set, all, dapo, or ORG/NAME; see justrl data fetch --help")
			}
			include := c.StringSlice("include")
			for _, glob := range include {
				if _, bad := path.Match(glob, ""); bad != nil {
					err = errors.Join(err, fmt.Errorf("--include %q: %w", glob, bad))
				}
			}
			if err != nil {
				return usagef("data fetch: %w", err)
			}
			var done []found
			err = withHub(c.Context, c.App.ErrWriter, "text", func(ctx context.Context, client *hub.Client, show *transfers) error {
				for _, t := range todo {
					f, err := fetch(ctx, client, show, t, c.String("data-dir"), include)
					if err != nil {
						return err
					}
					done = append(done, f)
				}
				return nil
			})
			switch {
			case err != nil && c.Err() != nil:
				err = fmt.Errorf("data fetch: %w; run it again to go on", err)
			case err != nil:
				err = fmt.Errorf("data fetch: %w", err)
			}
			return errors.Join(printFound(c.App.Writer, done, c.Bool("json")), err)
		},
	}
}

// fetch brings one target.
func fetch(ctx context.Context, client *hub.Client, show *transfers, t target, dir string, include []string) (found, error) {
	if t.set != nil {
		path, there, err := sets.Store{Dir: dir, Hub: client}.Fetch(ctx, *t.set)
		return ofSet(*t.set, statusIf(there), path), err
	}
	before := show.Brought()
	f := found{Name: t.ref.String(), Type: t.ref.Kind}
	if t.ref.File != "" {
		path, err := client.File(ctx, t.ref)
		if err != nil {
			return f, err
		}
		info, err := os.Stat(path)
		if err != nil {
			return f, err
		}
		f.Files, f.Bytes, f.Path, f.Status = 1, info.Size(), path, statusIf(show.Brought() == before)
		return f, nil
	}
	s, err := client.Snapshot(ctx, t.ref, wants(t.ref.Kind, include))
	if err != nil {
		return f, err
	}
	for _, file := range s.Files {
		f.Bytes += max(file.Size, 0)
	}
	f.Files, f.Commit, f.Path, f.Status = len(s.Files), s.Commit, s.Dir, statusIf(show.Brought() == before)
	return f, nil
}

func statusIf(there bool) string {
	if there {
		return statusThere
	}
	return statusFetched
}

func ofSet(s sets.Set, status, path string) found {
	return found{Name: s.Name, Type: "set", Status: status, K: s.K, Rows: s.Rows, Files: 1, Bytes: s.Size, SHA256: s.SHA256, Origin: s.URL(), Path: path}
}

// wants tells which files of a repository are fetched: those that match a glob, by
// their path or their name; without globs all of a data set, and of a model what it is loaded from.
func wants(kind string, include []string) func(string) bool {
	switch {
	case len(include) > 0:
		return func(file string) bool {
			for _, glob := range include {
				whole, _ := path.Match(glob, file) // the globs are good
				name, _ := path.Match(glob, path.Base(file))
				if whole || name {
					return true
				}
			}
			return false
		}
	case kind == hub.Model:
		return isModelFile
	}
	return nil
}

// isModelFile tells what a model is loaded from from other forms of its weights
// (PyTorch's, ONNX, GGUF), which can be many times as much.
func isModelFile(file string) bool {
	if strings.Contains(file, "/") {
		return false
	}
	switch path.Ext(file) {
	case ".safetensors", ".json", ".txt", ".jinja", ".model", ".tiktoken":
		return true
	}
	return file == "LICENSE"
}
