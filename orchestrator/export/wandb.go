package export

import (
	_ "embed"
	"encoding/json"
	"io"
	"path/filepath"

	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/orchestrator/journal"
)

//go:embed wandb_import.py
var script string

// wandbFiles writes run.json (id, name, config, summary), history.jsonl (a row a
// step, with _step and _timestamp, in seconds, as wandb calls them) and
// wandb_import.py, which gives them to wandb. wandb has no form of its own that
// another program could write: what it syncs is the log of its own client.
func wandbFiles(run, dir string) ([]string, error) {
	info, err := journal.ReadInfo(run)
	if err != nil {
		return nil, err
	}
	recorded, err := optional(filepath.Join(run, "config.yaml"))
	if err != nil {
		return nil, err
	}
	values, err := config.Values(recorded)
	if err != nil {
		return nil, err
	}
	steps, err := stepRows(run)
	if err != nil {
		return nil, err
	}
	measured, err := validationRows(run)
	if err != nil {
		return nil, err
	}
	about := map[string]any{"id": "justrl-" + info.ID, "name": filepath.Base(run), "config": values, "summary": map[string]any{}}
	if s, done, err := journal.ReadSummary(run); err != nil {
		return nil, err
	} else if done {
		about["summary"] = s
	}
	return written(dir,
		named{"run.json", func(w io.Writer) error {
			enc := json.NewEncoder(w)
			enc.SetIndent("", "  ")
			return enc.Encode(about)
		}},
		named{"history.jsonl", func(w io.Writer) error { return history(w, merged(steps, measured)) }},
		named{"wandb_import.py", func(w io.Writer) error {
			_, err := io.WriteString(w, script)
			return err
		}})
}

// history writes a row a line.
func history(w io.Writer, rows []row) error {
	enc := json.NewEncoder(w)
	for _, r := range rows {
		line := map[string]any{"_step": r.step}
		if !r.at.IsZero() {
			line["_timestamp"] = float64(r.at.UnixMicro()) / 1e6
		}
		for _, f := range r.figures {
			line[f.Name] = f.Value
		}
		if err := enc.Encode(line); err != nil {
			return err
		}
	}
	return nil
}
