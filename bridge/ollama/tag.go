package ollama

import (
	"context"
	"encoding/json"
	"path"
	"strings"

	"github.com/ollama/ollama/api"
)

// tagPrefix begins the line of a model's license that names its weights: a field that
// Ollama shows and does not use. sampler/ollama reads it.
const tagPrefix = "weights of justrl run "

// tagOf is the tag in a license; "" if it has none.
func tagOf(license string) string {
	for line := range strings.Lines(license) {
		if tag, ok := strings.CutPrefix(strings.TrimSpace(line), tagPrefix); ok {
			return tag
		}
	}
	return ""
}

// withTag is a license with another tag, or its first.
func withTag(license, tag string) []string {
	var rest strings.Builder
	for line := range strings.Lines(license) {
		if !strings.HasPrefix(strings.TrimSpace(line), tagPrefix) {
			rest.WriteString(line)
		}
	}
	out := []string{tagPrefix + tag}
	if s := strings.TrimSpace(rest.String()); s != "" {
		out = append([]string{s}, out...)
	}
	return out
}

// parameters are those that Ollama shows of a model, a line each, with another context.
func parameters(shown string, context int) map[string]any {
	out := map[string]any{}
	for line := range strings.Lines(shown) {
		key, text, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			continue
		}
		var value any
		if text = strings.TrimSpace(text); json.Unmarshal([]byte(text), &value) != nil {
			value = text
		}
		if key == "stop" { // the only one that is a list
			list, _ := out[key].([]any)
			value = append(list, value)
		}
		out[key] = value
	}
	out["num_ctx"] = context
	return out
}

// tagged is a model's name as Ollama lists it.
func tagged(name string) string {
	if strings.Contains(path.Base(name), ":") {
		return name
	}
	return name + ":latest"
}

func untagged(name string) string {
	if i := strings.LastIndex(name, ":"); i > strings.LastIndex(name, "/") {
		return name[:i]
	}
	return name
}

func (p *Publisher) show(ctx context.Context) (show *api.ShowResponse, err error) {
	err = p.c.quick(ctx, "/api/show", func(ctx context.Context) (err error) {
		show, err = p.c.Show(ctx, &api.ShowRequest{Model: p.o.Model})
		return err
	})
	return show, err
}

// Checksums implements bridge.Checksummer: the one of all tensors together, as they are
// stored on the server after it converted them.
func (p *Publisher) Checksums(ctx context.Context) (sums map[string]string, hidden int, err error) {
	show, err := p.show(ctx)
	if err != nil {
		return nil, 0, err
	}
	for line := range strings.Lines(show.Modelfile) {
		from, ok := strings.CutPrefix(strings.TrimSpace(line), "FROM ")
		if !ok {
			continue
		}
		if sum, ok := strings.CutPrefix(path.Base(strings.ReplaceAll(from, `\`, "/")), "sha256-"); ok {
			return map[string]string{"all tensors": sum}, 0, nil
		}
	}
	return nil, 0, nil
}
