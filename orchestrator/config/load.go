package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
)

// LoadFile lays the keys of a YAML file over c. Keys that the file leaves out
// keep their value; a key that does not exist is an error that names file,
// line and key. If the file names a preset, c must already be that preset: use
// [PresetOf] first.
func (c *Config) LoadFile(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	return c.overlay(b, path)
}

// Recorded reads the config.yaml of a run directory for those who look at a
// run: keys that this program does not know are left out, because the run may
// be of another version, and nothing is validated.
func Recorded(doc []byte) (Config, error) {
	var c Config
	if err := unmarshal(doc, &c); err != nil {
		return Config{}, locate(err, "")
	}
	return c, nil
}

// Values are the keys of a config.yaml as nested maps, whatever they are called.
func Values(doc []byte) (map[string]any, error) {
	values := map[string]any{}
	if err := unmarshal(doc, &values); err != nil {
		return nil, locate(err, "")
	}
	return values, nil
}

// PresetOf returns the preset that a config file names, "" if it names none.
func PresetOf(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("config: %w", err)
	}
	var head struct {
		Preset string `yaml:"preset"`
	}
	if err := unmarshal(b, &head); err != nil {
		return "", locate(err, path)
	}
	return head.Preset, nil
}

// Set lays one "key=value" over c; the key is dotted (sampling.n), the value YAML.
func (c *Config) Set(assignment string) error {
	key, value, ok := strings.Cut(assignment, "=")
	if !ok || key == "" {
		return fmt.Errorf("--set %s: want key=value, like --set sampling.n=8", assignment)
	}
	if key == "preset" {
		return fmt.Errorf("--set %s: a preset is what the others are laid over; name it with --preset", assignment)
	}
	var doc bytes.Buffer
	parts := strings.Split(key, ".")
	for i, part := range parts {
		fmt.Fprintf(&doc, "%s%s:", strings.Repeat("  ", i), part)
		if i < len(parts)-1 {
			doc.WriteByte('\n')
		}
	}
	fmt.Fprintf(&doc, " %s\n", value)
	if err := c.overlay(doc.Bytes(), ""); err != nil {
		return fmt.Errorf("--set %s: %w", assignment, err)
	}
	return nil
}

// YAML writes every key out, in the order of the struct, each with what it
// means and its unit as a comment.
func (c Config) YAML() ([]byte, error) {
	about := yaml.CommentMap{}
	comments(about, "$", reflect.TypeFor[Config]())
	b, err := yaml.MarshalWithOptions(c, yaml.Indent(2), yaml.IndentSequence(true), yaml.WithComment(about))
	if err != nil {
		return nil, fmt.Errorf("config: write yaml: %w", err)
	}
	return b, nil
}

// comments collects the `about` tags of a struct and of the structs in it, by YAML path.
func comments(into yaml.CommentMap, path string, t reflect.Type) {
	for f := range t.Fields() {
		key := path + "." + f.Tag.Get("yaml")
		about := " " + f.Tag.Get("about")
		switch f.Type.Kind() {
		case reflect.Struct:
			into[key] = []*yaml.Comment{yaml.HeadComment(about)}
			comments(into, key, f.Type)
		case reflect.Slice: // a line comment would come before the colon
			into[key] = []*yaml.Comment{yaml.HeadComment(about)}
		default:
			into[key] = []*yaml.Comment{yaml.LineComment(about)}
		}
	}
}

func (c *Config) overlay(doc []byte, path string) error {
	next := *c // a failed overlay changes nothing
	if err := unmarshal(doc, &next, yaml.Strict()); err != nil {
		return locate(err, path)
	}
	var given any
	if err := unmarshal(doc, &given); err != nil {
		return locate(err, path)
	}
	if err := wholeNumbers("", reflect.TypeFor[Config](), given); err != nil {
		if path != "" {
			return fmt.Errorf("%s: %w", path, err)
		}
		return err
	}
	if !sets(given, "update", "norm_tokens") {
		c.follow(&next)
	}
	*c = next
	return nil
}

// sets says that a document has the key at the end of a path of keys.
func sets(given any, path ...string) bool {
	for _, key := range path {
		keys, _ := given.(map[string]any)
		var ok bool
		if given, ok = keys[key]; !ok {
			return false
		}
	}
	return true
}

// unmarshal is the YAML library's, whose panics on odd documents (a tag where
// a list should be) are errors here.
func unmarshal(doc []byte, into any, o ...yaml.DecodeOption) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("cannot be read as YAML: %v", r)
		}
	}()
	return yaml.UnmarshalWithOptions(doc, into, o...)
}

// wholeNumbers refuses a fraction where a key counts something: the YAML
// library would cut it off silently.
func wholeNumbers(path string, t reflect.Type, given any) error {
	if t.Kind() == reflect.Struct {
		keys, _ := given.(map[string]any)
		for f := range t.Fields() {
			name := f.Tag.Get("yaml")
			if v, ok := keys[name]; ok {
				if err := wholeNumbers(strings.TrimPrefix(path+"."+name, "."), f.Type, v); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if v, ok := given.(float64); ok && t.ConvertibleTo(reflect.TypeFor[int64]()) && t.Kind() != reflect.Float64 {
		return fmt.Errorf("%s: must be a whole number, is %g", path, v)
	}
	return nil
}

// locate turns the YAML library's report, a source excerpt over several lines,
// into one line "file:line:column: what"; path "" leaves out the position.
func locate(err error, path string) error {
	var y yaml.Error
	if !errors.As(err, &y) {
		if path == "" {
			return err
		}
		return fmt.Errorf("%s: %w", path, err)
	}
	what := strings.Replace(y.GetMessage(), "unknown field", "unknown key", 1)
	if path == "" {
		return errors.New(what)
	}
	pos := y.GetToken().Position
	return fmt.Errorf("%s:%d:%d: %s", path, pos.Line, pos.Column, what)
}

// LoadRun is the configuration in a run directory, in which every default is
// written out. A key that a file lacks is younger than the run, and means there
// what the run did before there was one, whatever its preset says today.
func LoadRun(path string) (Config, error) {
	preset, err := PresetOf(path)
	if err != nil {
		return Config{}, err
	}
	if preset == "" {
		preset = DefaultPreset
	}
	c, err := Preset(preset)
	if err != nil {
		return c, err
	}
	c.Validation.Verifier = "" // held-out answers were scored as training's
	return c, c.LoadFile(path)
}
