package dashboard

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"github.com/justrl/justrl/internal/webpage"
)

//go:embed assets
var embedded embed.FS

// policy is the Content-Security-Policy of every page of the server: its own
// scripts and styles from their addresses, and nothing that stands in the page.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// types are the files that may be asked for.
var types = map[string]string{
	".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}

// assets are the page's files by name; assetsVersion is that of them all.
var assets, assetsVersion = readAssets()

var pages = template.Must(template.ParseFS(embedded, "assets/*.html"))

func readAssets() (map[string][]byte, string) {
	all := map[string][]byte{"style.css": []byte(webpage.StyleSheet)}
	sum := sha256.New()
	entries, err := fs.ReadDir(embedded, "assets")
	for _, e := range entries {
		var b []byte
		if b, err = embedded.ReadFile("assets/" + e.Name()); err != nil {
			break
		}
		all[e.Name()] = b
		_, _ = sum.Write(b) // never fails (hash.Hash)
	}
	if err != nil { // the program holds them: cannot happen
		panic(err)
	}
	_, _ = sum.Write(all["style.css"])
	return all, hex.EncodeToString(sum.Sum(nil))[:16]
}

// asset answers with one of the page's files. They show nothing of the run.
func asset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	b, ok := assets[name]
	kind := types[path.Ext(name)]
	if !ok || kind == "" {
		http.NotFound(w, r)
		return
	}
	tag := `"` + assetsVersion + `"`
	w.Header().Set("ETag", tag)
	w.Header().Set("Cache-Control", "no-cache") // ask whether it is still this one
	if strings.Contains(r.Header.Get("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Type", kind)
	_, _ = w.Write(b) // the client may be gone
}

// writeHTML answers with one of the pages.
func writeHTML(w http.ResponseWriter, status int, name string, data any) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = pages.ExecuteTemplate(w, name, data) // the client may be gone
}
