package ollama

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/justrl/justrl/internal/atomicdir"
	"github.com/justrl/justrl/internal/endpoint"
)

// file is one file of a model for /api/create.
type file struct {
	name   string
	digest string // sha256:…
	open   func() (io.ReadCloser, error)
}

// wanted are the files that Ollama's conversion reads beside the weights.
var wanted = []string{
	"added_tokens.json", "config.json", "generation_config.json", configName, "special_tokens_map.json", "tokenizer.json", "tokenizer.model",
}

const (
	configName   = "tokenizer_config.json"
	templateName = "chat_template.jinja"
)

// filesOf are the files of a snapshot that Ollama needs, by the checksums of its marker.
func filesOf(dir string, m atomicdir.Marker) ([]file, error) {
	var out []file
	for name, sum := range m.Files {
		if !strings.HasSuffix(name, ".safetensors") && !slices.Contains(wanted, name) || strings.Contains(name, "/") {
			continue
		}
		path := filepath.Join(dir, name)
		out = append(out, file{name, "sha256:" + sum, func() (io.ReadCloser, error) { return os.Open(path) }})
	}
	if _, ok := m.Files[templateName]; ok {
		f, err := withTemplate(dir)
		if err != nil {
			return nil, err
		}
		out = append(slices.DeleteFunc(out, func(o file) bool { return o.name == f.name }), f)
	}
	slices.SortFunc(out, func(a, b file) int { return strings.Compare(a.name, b.name) })
	if !slices.ContainsFunc(out, func(f file) bool { return strings.HasSuffix(f.name, ".safetensors") }) {
		return nil, fmt.Errorf("%s has no *.safetensors, which Ollama takes weights from", dir)
	}
	return out, nil
}

// withTemplate is tokenizer_config.json with the chat template in it, the only place
// that Ollama looks for one.
func withTemplate(dir string) (file, error) {
	template, err := os.ReadFile(filepath.Join(dir, templateName))
	if err != nil {
		return file{}, err
	}
	config := map[string]json.RawMessage{}
	path := filepath.Join(dir, configName)
	if b, err := os.ReadFile(path); err == nil {
		if err := json.Unmarshal(b, &config); err != nil {
			return file{}, fmt.Errorf("%s: %w", path, err)
		}
	} else if !os.IsNotExist(err) {
		return file{}, err
	}
	if config["chat_template"], err = json.Marshal(string(template)); err != nil {
		return file{}, err
	}
	b, err := json.Marshal(config) // in the order of the keys: the same digest each time
	if err != nil {
		return file{}, err
	}
	sum := sha256.Sum256(b)
	return file{configName, "sha256:" + hex.EncodeToString(sum[:]), func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b)), nil
	}}, nil
}

// upload brings a file to the server if it has not got it: a blob that is there already
// ends the connection in the middle of another upload.
func (c *client) upload(ctx context.Context, f file) error {
	path := "/api/blobs/" + f.digest
	err := c.quick(ctx, path, func(ctx context.Context) error { return c.e.Do(ctx, http.MethodHead, path, nil, nil) })
	if endpoint.StatusOf(err) != http.StatusNotFound {
		return err
	}
	err = c.long(ctx, path, func(ctx context.Context) (err error) {
		r, err := f.open()
		if err != nil {
			return err
		}
		defer r.Close() //nolint:errcheck // it was only read
		return c.CreateBlob(ctx, f.digest, r)
	})
	if err != nil {
		return fmt.Errorf("upload %s: %w", f.name, err)
	}
	return nil
}
