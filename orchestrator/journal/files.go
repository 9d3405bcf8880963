package journal

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/justrl/justrl/internal/atomicdir"
)

func (d *Dir) file(parts ...string) string {
	return filepath.Join(append([]string{d.path}, parts...)...)
}

func (d *Dir) readJSON(name string, into any) error {
	b, err := os.ReadFile(d.file(name))
	if err != nil {
		return fmt.Errorf("run directory: %w", err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("%s: %w", d.file(name), err)
	}
	return nil
}

func (d *Dir) writeJSON(name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return d.write(name, append(b, '\n'))
}

func (d *Dir) write(name string, b []byte) error {
	return atomicdir.ReplaceFile(d.file(name), func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}
