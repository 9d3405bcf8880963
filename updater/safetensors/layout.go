package safetensors

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// Layout says which file holds which tensors in which order: enough to write
// the same files again with other bytes.
type Layout struct {
	Files []FileLayout
	// Index asks for model.safetensors.index.json beside the files.
	Index bool
	// IndexMetadata is the index's "metadata" as it was found; total_size is
	// computed anew when it is written.
	IndexMetadata map[string]json.RawMessage
}

// FileLayout is one file of a Layout.
type FileLayout struct {
	Name     string            // base name
	Tensors  []Info            // in the order of their bytes; Info.File is not looked at
	Metadata map[string]string // the header's __metadata__; nil for none
}

// Layout returns a copy of the layout that the Set was read from.
func (s *Set) Layout() Layout { return s.layout.clone() }

// WithDType returns a copy of l with every floating-point tensor in dtype;
// integers and booleans keep theirs.
func (l Layout) WithDType(dtype string) Layout {
	l = l.clone()
	for _, f := range l.Files {
		for i := range f.Tensors {
			if d := f.Tensors[i].DType; strings.HasPrefix(d, "F") || d == "BF16" {
				f.Tensors[i].DType = dtype
			}
		}
	}
	return l
}

func (l Layout) clone() Layout {
	l.IndexMetadata = maps.Clone(l.IndexMetadata)
	l.Files = slices.Clone(l.Files)
	for i, f := range l.Files {
		l.Files[i].Metadata = maps.Clone(f.Metadata)
		l.Files[i].Tensors = slices.Clone(f.Tensors)
		for j, t := range f.Tensors {
			l.Files[i].Tensors[j].Shape = slices.Clone(t.Shape)
		}
	}
	return l
}
