package sweep

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/justrl/justrl/internal/atomicdir"
)

// Embedded is the name of the server in the program, in the place of a URL.
const Embedded = "embedded"

// Server is where models are served.
type Server struct {
	Name            string // its URL unless the spec gives another
	URL             string // or Embedded
	APIKeyEnv       string // environment variable with the bearer key
	Concurrency     int    // requests at once, over all cells
	TokensPerSecond float64
}

// Model is what is measured: what a server serves under a name, or the weights
// of a folder.
type Model struct {
	Name   string // of its folders and in tables
	Served string // name on the servers; "" is the only one there
	// Folder has the weights that the servers are told to load; "" for those
	// that they have themselves.
	Folder string
	// Version is the weights version of a checkpoint, Weights a hash of the files that hold them.
	Version int64
	Weights string
	// Servers serve it; with Any, those of them that turn out to.
	Servers []*Server
	Any     bool

	names []string // of the servers, as the spec has them
}

func (r *reader) model(key string, v ast.Node) {
	m := &Model{}
	word, at := "", v
	if !r.isMapping(v) {
		word = r.text(v, key)
	} else {
		r.mapping(v, key, map[string]func(string, ast.Node){
			"model":        func(key string, v ast.Node) { word, at = r.text(v, key), v },
			"name":         func(key string, v ast.Node) { m.Name = r.text(v, key) },
			"served_model": func(key string, v ast.Node) { m.Served = r.text(v, key) },
			"servers": func(key string, v ast.Node) {
				r.list(v, key, func(key string, v ast.Node) {
					if name := r.text(v, key); slices.Contains(m.names, name) {
						r.fault(v, key, "%s is there already", name)
					} else if name != "" {
						m.names = append(m.names, name)
					}
				})
			},
		})
		if word == "" {
			r.fault(v, key, "needs a model: the name that a server has for it, or the folder of a checkpoint")
		}
	}
	r.at[m] = at
	if word == "" {
		return
	}
	if others := slices.ContainsFunc(r.spec.Servers, func(s *Server) bool { return s.URL != Embedded }); len(m.names) == 0 && len(r.spec.Servers) > 0 && !others {
		m.names = []string{Embedded} // there is no other
	}
	r.weights(m, at, key, word)
	if m.Name == "" {
		m.Name = word
		if m.Folder != "" {
			m.Name = folderName(m.Folder)
		}
	}
	for _, old := range r.spec.Models {
		if slug(old.Name) == slug(m.Name) {
			r.fault(at, key, "a model called %s is there already: give each a name", old.Name)
			return
		}
	}
	r.spec.Models = append(r.spec.Models, m)
}

// weights tells a folder from a served name.
func (r *reader) weights(m *Model, at ast.Node, key, word string) {
	folder := r.path(word)
	embedded := slices.Contains(m.names, Embedded)
	st, err := os.Stat(folder)
	isFolder := err == nil && st.IsDir()
	marker, markerErr := atomicdir.Marker{}, error(nil)
	if isFolder {
		marker, markerErr = atomicdir.Read(folder)
	}
	switch {
	case embedded && len(m.names) > 1:
		r.fault(at, key, "%s is alone with a model: leave the other servers out", Embedded)
	case embedded && !isFolder:
		r.fault(at, key, "%s: the embedded server needs the folder of a model", folder)
	case embedded, isFolder && markerErr == nil:
		m.Folder, m.Version = folder, marker.Version
		if m.Weights, err = weightsOf(folder, marker); err != nil {
			r.fault(at, key, "%v", err)
		}
	case isFolder && !errors.Is(markerErr, atomicdir.ErrIncomplete):
		r.fault(at, key, "%v", markerErr)
	case strings.Contains(filepath.ToSlash(folder), "/checkpoints/step-"):
		r.fault(at, key, "%s is no complete checkpoint of a run (there is no %s in it)", folder, atomicdir.MarkerName)
	case m.Served != "":
		r.fault(at, key, "served_model is for the folder of a checkpoint; %q is a served name itself", word)
	default:
		m.Served = word
	}
}

// weightsOf is a hash of the files that hold the weights, as the marker has
// them, or from their bytes.
func weightsOf(folder string, m atomicdir.Marker) (string, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.safetensors"))
	if err != nil {
		return "", err
	}
	if len(files) == 0 {
		return "", fmt.Errorf("%s has no *.safetensors", folder)
	}
	slices.Sort(files)
	all := sha256.New()
	for _, f := range files {
		sum, known := m.Files[filepath.Base(f)]
		if !known {
			if sum, err = fileSum(f); err != nil {
				return "", err
			}
		}
		_, _ = fmt.Fprintf(all, "%s %s\n", filepath.Base(f), sum) // a hash takes all
	}
	return hex.EncodeToString(all.Sum(nil)), nil
}

func fileSum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	_, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), errors.Join(err, f.Close())
}

// folderName is short and tells one run's checkpoints from another's.
func folderName(folder string) string {
	base, up := filepath.Base(folder), filepath.Dir(folder)
	if filepath.Base(up) == "checkpoints" {
		return filepath.Base(filepath.Dir(up)) + "-" + base
	}
	return base
}

func (r *reader) server(key string, v ast.Node) {
	s := &Server{Concurrency: defaultConcurrency}
	placed := false
	place := func(key string, v ast.Node) {
		placed = true
		word := r.text(v, key)
		if word == Embedded {
			s.URL = Embedded
			return
		}
		s.URL = r.url(v, key, word)
	}
	if !r.isMapping(v) {
		place(key, v)
	} else {
		r.mapping(v, key, map[string]func(string, ast.Node){
			"url":         place,
			"name":        func(key string, v ast.Node) { s.Name = r.text(v, key) },
			"api_key_env": func(key string, v ast.Node) { s.APIKeyEnv = r.env(v, key) },
			"concurrency": func(key string, v ast.Node) { s.Concurrency = int(r.whole(v, key, 1, 1<<20)) },
			"tokens_per_second": func(key string, v ast.Node) {
				s.TokensPerSecond = r.number(v, key, "above 0", func(x float64) bool { return x > 0 })
			},
		})
		if !placed {
			r.fault(v, key, "a server needs a url")
		}
	}
	if s.URL == "" {
		return
	}
	switch {
	case s.URL == Embedded && s.Name != "" && s.Name != Embedded, s.URL != Embedded && s.Name == Embedded:
		r.fault(v, key, "%s is the name of the server in the program, and of no other", Embedded)
	case s.Name == "":
		s.Name = s.URL
	}
	for _, old := range r.spec.Servers {
		if old.URL == s.URL || old.Name == s.Name {
			r.fault(v, key, "%s is there already, as %s: a server's concurrency is one limit", s.URL, old.Name)
			return
		}
	}
	r.spec.Servers = append(r.spec.Servers, s)
}

// env reads the name of an environment variable that is set.
func (r *reader) env(v ast.Node, key string) string {
	name := r.text(v, key)
	if _, ok := os.LookupEnv(name); name != "" && !ok {
		r.fault(v, key, "the environment has no %s", name)
	}
	return name
}

// assign gives every model its servers, once all are known.
func (r *reader) assign() {
	for _, m := range r.spec.Models {
		at := r.at[m]
		for _, name := range m.names {
			i := slices.IndexFunc(r.spec.Servers, func(s *Server) bool { return s.Name == name || s.URL == name })
			switch {
			case i >= 0:
				m.Servers = append(m.Servers, r.spec.Servers[i])
			case name == Embedded:
				s := &Server{Name: Embedded, URL: Embedded, Concurrency: defaultConcurrency}
				r.spec.Servers = append(r.spec.Servers, s)
				m.Servers = append(m.Servers, s)
			default:
				r.fault(at, "servers", "of %s: there is no server %s", m.Name, name)
			}
		}
		if len(m.names) > 0 {
			continue
		}
		for _, s := range r.spec.Servers {
			if s.URL != Embedded {
				m.Servers = append(m.Servers, s)
			}
		}
		m.Any = true
		if m.Folder != "" && len(r.spec.Servers) > 0 {
			m.Any = false
			if len(m.Servers) != 1 {
				r.fault(at, "models", "%s is the folder of a checkpoint: say with servers which of the %d is to load it", m.Name, len(r.spec.Servers))
			}
		}
	}
}

// slug is a name as a folder has it.
func slug(name string) string {
	s := strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
			return c
		case c == '/':
			return '_'
		}
		return '-'
	}, name)
	return strings.TrimLeft(s[:min(len(s), 100)], ".")
}
