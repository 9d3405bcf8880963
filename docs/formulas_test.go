// Package docs holds the documentation to the code that it names.
package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	inGo  = regexp.MustCompile("`((?:[a-z0-9]+/)*[a-z0-9]+)\\.([A-Za-z][A-Za-z0-9]*(?:\\.[A-Za-z][A-Za-z0-9]*)?)`")
	inCpp = regexp.MustCompile("`([a-z0-9/]+\\.cpp):([a-z_0-9]+)`")
)

// TestFormulasExist looks up every function that formulas.md names, behind
// build tags too.
func TestFormulasExist(t *testing.T) {
	b, err := os.ReadFile("formulas.md")
	if err != nil {
		t.Fatal(err)
	}
	text, tables := string(b), map[string]map[string]bool{}
	names := inGo.FindAllStringSubmatch(text, -1)
	if len(names) < 100 {
		t.Errorf("only %d names found: has the spelling changed?", len(names))
	}
	for _, m := range names {
		folder, name := m[1], m[2]
		if tables[folder] == nil {
			tables[folder] = declared(t, filepath.Join("..", folder))
		}
		if !tables[folder][name] {
			t.Errorf("formulas.md names %s.%s, which does not exist", folder, name)
		}
	}
	for _, m := range inCpp.FindAllStringSubmatch(text, -1) {
		src, err := os.ReadFile(filepath.Join("..", m[1]))
		if err != nil {
			t.Error(err)
		} else if !strings.Contains(string(src), m[2]+"(") {
			t.Errorf("formulas.md names %s:%s, which does not exist", m[1], m[2])
		}
	}
}

// declared lists the functions and methods of a folder: Func and Type.Method.
func declared(t *testing.T, dir string) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			switch {
			case !ok:
			case fn.Recv == nil:
				names[fn.Name.Name] = true
			default:
				recv := fn.Recv.List[0].Type
				if star, ok := recv.(*ast.StarExpr); ok {
					recv = star.X
				}
				if id, ok := recv.(*ast.Ident); ok {
					names[id.Name+"."+fn.Name.Name] = true
				}
			}
		}
	}
	return names
}
