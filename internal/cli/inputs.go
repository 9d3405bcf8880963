package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/justrl/justrl/benchmarks/sets"
	"github.com/justrl/justrl/internal/hub"
	"github.com/justrl/justrl/orchestrator/config"
)

// fetchInputs puts paths in place of what of the configuration names something
// elsewhere: a model or data set of the Hugging Face hub, or a benchmark set by its
// name. What is a path stays one, and then nothing is sent.
func fetchInputs(c *cli.Context, cfg *config.Config) error {
	type input struct {
		flag string
		at   *string
		kind string
	}
	inputs := []input{{"model", &cfg.Model, hub.Model}, {"data", &cfg.Data, hub.Dataset}}
	for i := range cfg.Validation.Data {
		inputs = append(inputs, input{"validation", &cfg.Validation.Data[i], hub.Dataset})
	}
	var elsewhere []input
	for _, in := range inputs {
		there, err := isElsewhere(*in.at, in.kind)
		if err != nil {
			return usagef("--%s %s: %w", in.flag, *in.at, err)
		}
		if there {
			elsewhere = append(elsewhere, in)
		}
	}
	if len(elsewhere) == 0 {
		return nil
	}
	return withHub(c.Context, c.App.ErrWriter, c.String("log"), func(ctx context.Context, client *hub.Client, show *transfers) error {
		for _, in := range elsewhere {
			path, err := fetchInput(ctx, client, *in.at, in.kind)
			if err != nil {
				return fmt.Errorf("--%s %s: no such path, and elsewhere: %w", in.flag, *in.at, err)
			}
			show.Notice(fmt.Sprintf("--%s %s is %s", in.flag, *in.at, path))
			*in.at = path
		}
		return nil
	})
}

// isElsewhere tells what is no path here: a path that exists always wins, and
// what looks like a path is one even if nothing is there.
func isElsewhere(value, kind string) (bool, error) {
	if value == "" {
		return false, nil
	}
	if _, err := os.Lstat(value); err == nil {
		return false, nil
	}
	if strings.HasPrefix(value, "hf://") {
		_, err := hub.ParseRef(value, kind)
		return err == nil, err
	}
	if kind == hub.Dataset {
		if _, err := sets.Lookup(value); err == nil || value == dapoName {
			return true, nil
		}
		if isDataFile(value) && strings.Count(value, "/") < 2 {
			return false, nil
		}
	}
	if _, err := hub.ParseRef(value, kind); err != nil {
		return false, nil // its opener says that it is not there
	}
	org, _, _ := strings.Cut(value, "/")
	if info, err := os.Stat(org); err == nil && info.IsDir() {
		return false, fmt.Errorf("there is no such path (and as there is a folder %s here, it is not taken for an id of the Hugging Face hub; write hf://%s for that)", org, value)
	}
	return true, nil
}

func fetchInput(ctx context.Context, client *hub.Client, value, kind string) (string, error) {
	if kind == hub.Dataset {
		if set, err := sets.Lookup(value); err == nil {
			return sets.Store{Hub: client}.Find(ctx, set)
		}
		if value == dapoName {
			return client.File(ctx, dapo)
		}
	}
	r, err := hub.ParseRef(value, kind)
	if err != nil {
		return "", err
	}
	if r.Kind != kind {
		return "", fmt.Errorf("is a %s, a %s is needed", r.Kind, kind)
	}
	if kind == hub.Model {
		return fetchModel(ctx, client, r)
	}
	return fetchDataFile(ctx, client, r)
}

// fetchModel is the folder of a model, with what it is loaded from.
func fetchModel(ctx context.Context, client *hub.Client, r hub.Ref) (string, error) {
	if r.File != "" {
		return "", errors.New("names a file; a model is a whole repository")
	}
	_, files, err := client.List(ctx, r)
	var off *hub.OfflineError
	if err != nil && !errors.As(err, &off) { // a cache without a list may have the snapshot
		return "", err
	}
	weights := err != nil
	for _, f := range files {
		weights = weights || isModelFile(f.Path) && path.Ext(f.Path) == ".safetensors"
	}
	if !weights {
		return "", fmt.Errorf("%s has no safetensors weights; convert them with transformers' save_pretrained", r)
	}
	s, err := client.Snapshot(ctx, r, isModelFile)
	return s.Dir, err
}

// fetchDataFile is the one data file of a repository, or the one that is named.
func fetchDataFile(ctx context.Context, client *hub.Client, r hub.Ref) (string, error) {
	if r.File == "" {
		_, files, err := client.List(ctx, r)
		if err != nil {
			return "", err
		}
		var data []string
		for _, f := range files {
			if isDataFile(f.Path) {
				data = append(data, f.Path)
			}
		}
		if len(data) != 1 {
			return "", fmt.Errorf("%s has %d data files; name one of them as %s/FILE%s", r, len(data), r, some(data))
		}
		r.File = data[0]
	}
	return client.File(ctx, r)
}

// some shows the first of many names.
func some(names []string) string {
	if len(names) == 0 {
		return ""
	}
	const most = 8
	more := ""
	if len(names) > most {
		names, more = names[:most], ", …"
	}
	return ": " + strings.Join(names, ", ") + more
}

func isDataFile(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".parquet", ".jsonl", ".ndjson", ".csv", ".tsv":
		return true
	}
	return false
}
