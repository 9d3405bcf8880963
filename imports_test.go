package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/justrl/justrl/"

// rule forbids imports: of every package that matches from, each one of to,
// but for those of the exceptions. "x" is the package x alone,
// "x/..." is x and everything below it.
type rule struct {
	from   string
	to     []string
	except []string // packages of `from` that may
	tests  bool     // tests are held to it too
	why    string
}

// The architecture (docs/architecture.md) as a table.
var rules = []rule{
	{from: "sampler/...", to: []string{"updater/...", "bridge/...", "orchestrator/...", "benchmarks/..."}, tests: true,
		why: "siblings do not know each other; orchestrator or internal/cli translates"},
	{from: "updater/...", to: []string{"sampler/...", "bridge/...", "orchestrator/...", "benchmarks/..."}, tests: true,
		why: "siblings do not know each other; orchestrator or internal/cli translates"},
	{from: "bridge/...", to: []string{"sampler/...", "updater/...", "orchestrator/...", "benchmarks/..."}, tests: true,
		why: "siblings do not know each other; orchestrator or internal/cli translates"},
	{from: "benchmarks/...", to: []string{"updater/...", "bridge/...", "orchestrator/..."}, except: []string{"benchmarks/perf/..."},
		why: "evaluation needs no training"},
	{from: "orchestrator/...", to: []string{"sampler/*", "updater/*", "bridge/*", "benchmarks/..."}, tests: true,
		why: "a run sees interfaces; internal/cli hands implementations in"},
	{from: "sampler", to: []string{"sampler/*"}, why: "a parent does not know what implements its interfaces"},
	{from: "updater", to: []string{"updater/*"}, why: "a parent does not know what implements its interfaces"},
	{from: "bridge", to: []string{"bridge/*"}, why: "a parent does not know what implements its interfaces"},
	{from: "...", to: []string{"internal/cli"}, except: []string{".", "internal/e2e"}, tests: true,
		why: "the command line is on top of everything"},
	{from: "internal/endpoint", to: []string{"sampler/...", "updater/...", "bridge/...", "orchestrator/...", "benchmarks/..."}, tests: true,
		why: "an address knows nothing of what is asked there"},
	{from: "internal/ollamatest", to: []string{"sampler/...", "updater/...", "bridge/...", "orchestrator/...", "benchmarks/..."}, tests: true,
		why: "both sides of a run test against it"},
	{from: "internal/atomicdir", to: []string{"sampler/...", "updater/...", "bridge/...", "orchestrator/...", "benchmarks/...", "internal/endpoint"}, tests: true,
		why: "it is below everything"},
	{from: "internal/watched", to: []string{"sampler/...", "updater/...", "bridge/...", "orchestrator/...", "benchmarks/...", "internal/endpoint", "internal/atomicdir"}, tests: true,
		why: "it is below everything"},
	{from: "internal/splitmix", to: []string{"sampler/...", "updater/...", "bridge/...", "orchestrator/...", "benchmarks/...", "internal/endpoint", "internal/atomicdir"}, tests: true,
		why: "it is below everything"},
	{from: "internal/jsonscan", to: []string{"sampler/...", "updater/...", "bridge/...", "orchestrator/...", "benchmarks/...", "internal/endpoint", "internal/atomicdir"}, tests: true,
		why: "it is below everything"},
	{from: "internal/sha256pair", to: []string{"sampler/...", "updater/...", "bridge/...", "orchestrator/...", "benchmarks/...", "internal/endpoint", "internal/atomicdir"}, tests: true,
		why: "it is below everything"},
	{from: "internal/parquetfile", to: []string{"sampler/...", "updater/...", "bridge/...", "orchestrator/...", "benchmarks/...", "internal/endpoint", "internal/atomicdir"}, tests: true,
		why: "it is below everything"},
	{from: "internal/filelock", to: []string{"sampler/...", "updater/...", "bridge/...", "orchestrator/...", "benchmarks/...", "internal/endpoint", "internal/atomicdir"}, tests: true,
		why: "it is below everything"},
	{from: "internal/cachedir", to: []string{"sampler/...", "updater/...", "bridge/...", "orchestrator/...", "benchmarks/...", "internal/endpoint", "internal/atomicdir"}, tests: true,
		why: "it is below everything"},
	{from: "internal/hub", to: []string{"sampler/...", "updater/...", "bridge/...", "orchestrator/...", "benchmarks/..."}, tests: true,
		why: "it brings files and knows nothing of what is in them"},
	{from: "sampler/...", to: []string{"internal/hub"}, tests: true, why: "a sampler reads files that are there"},
	{from: "internal/childenv", to: []string{"sampler/...", "updater/...", "bridge/...", "orchestrator/...", "benchmarks/...", "internal/endpoint", "internal/atomicdir"}, tests: true,
		why: "it is below everything"},
	{from: "internal/chart", to: []string{"sampler/...", "updater/...", "bridge/...", "orchestrator/...", "benchmarks/...", "internal/endpoint", "internal/atomicdir"}, tests: true,
		why: "it is below everything"},
	{from: "internal/flops", to: []string{"sampler/...", "updater/...", "bridge/...", "orchestrator/...", "benchmarks/...", "internal/endpoint", "internal/atomicdir"}, tests: true,
		why: "it is below everything"},
	{from: "internal/prompt", to: []string{"sampler/...", "updater/...", "bridge/...", "orchestrator/...", "benchmarks/...", "internal/endpoint", "internal/atomicdir"}, tests: true,
		why: "it is below everything"},
	{from: "internal/numerals", to: []string{"sampler/...", "updater/...", "bridge/...", "orchestrator/...", "benchmarks/...", "internal/endpoint", "internal/atomicdir"}, tests: true,
		why: "it is below everything"},
	{from: "internal/webpage/...", to: []string{"sampler/...", "updater/...", "bridge/...", "orchestrator/...", "benchmarks/...", "internal/endpoint", "internal/atomicdir"}, tests: true,
		why: "a page does not know what is on it"},
	{from: "benchmarks/generations", to: []string{"sampler/...", "benchmarks/*"}, why: "a file format knows neither who samples nor who grades"},
	{from: "benchmarks/metrics", to: []string{"sampler/...", "benchmarks/*"}, why: "figures need verdicts, not those who found them"},
	{from: "benchmarks/grade", to: []string{"sampler/*", "benchmarks/judge"}, why: "who grades is handed in"},
	{from: "benchmarks/judge", to: []string{"sampler/reward", "sampler/vllm", "benchmarks/*"}, why: "a judge needs a pair, not where it comes from"},
	{from: "benchmarks/evaluate", to: []string{"sampler/reward/...", "sampler/vllm", "benchmarks/generations", "benchmarks/metrics", "benchmarks/sets"},
		why: "sampling sees problems, a store and a verifier; internal/cli hands them in"},
	{from: "benchmarks/sweep", to: []string{"sampler/reward/...", "sampler/vllm", "benchmarks/grade", "benchmarks/judge"},
		why: "a sweep plans and schedules; who loads, grades and judges is handed in"},
	{from: "benchmarks", to: []string{"benchmarks/*"}, why: "a parent has the words that its children use"},
	{from: "sampler/fleet", to: []string{"sampler/*"}, why: "a fleet sees generators, of whatever kind of server"},
	{from: "updater/...", to: []string{"internal/endpoint"}, tests: true, why: "the updater asks no server"},
	{from: "internal/guard", to: []string{"sampler/...", "updater/...", "bridge/...", "orchestrator/...", "benchmarks/...", "internal/endpoint", "internal/atomicdir"}, tests: true,
		why: "it is below everything"},
	{from: "bridge/share", to: []string{"bridge/agent", "bridge/vllm", "internal/endpoint"}, why: "a server knows nothing of its clients"},
	{from: "bridge/agent", to: []string{"bridge/vllm"}, why: "who loads into the server beside it is handed in"},
	{from: "...", to: []string{"sampler/openaitest", "sampler/sglang/sglangtest", "sampler/llama/llamatest", "sampler/samplertest", "bridge/bridgetest", "internal/webpage/webpagetest", "internal/viewerstest", "internal/ollamatest", "testing"},
		except: []string{"sampler/openaitest/...", "sampler/sglang/sglangtest", "sampler/llama/llamatest", "sampler/samplertest", "bridge/bridgetest", "internal/webpage/webpagetest", "internal/viewerstest", "internal/ollamatest"}, why: "fakes and suites are for tests"},
	{from: "sampler/localserver", to: []string{"sampler/dataset", "sampler/reward", "sampler/vllm", "sampler/openai"}, tests: true,
		why: "a server knows nothing of its clients"},
	{from: "...", to: []string{"updater/torch"}, except: []string{"internal/cli", "examples/...", "benchmarks/perf/update/ours"},
		why: "only the command line knows that the updater runs on libtorch"},
}

// foreign holds packages of others to the folders that may know them.
var foreign = map[string][]string{
	"github.com/sugarme/gotch":          {"updater/torch"},
	"github.com/urfave/cli":             {"internal/cli"},
	"github.com/ollama/ollama":          {"internal/cli", "sampler/ollama", "bridge/ollama", "internal/ollamatest"},
	"github.com/sashabaranov/go-openai": {"sampler/openai"},
	"github.com/parquet-go/parquet-go":  {"internal/parquetfile", "sampler/dataset", "orchestrator/journal"},
	"github.com/klauspost/compress":     {"internal/parquetfile", "orchestrator/dashboard"},
	"github.com/andybalholm/brotli":     {"internal/parquetfile"},
	"github.com/pierrec/lz4":            {"internal/parquetfile"},
	"github.com/nikolalohinski/gonja":   {"sampler/tokenizer"},
	"github.com/goccy/go-yaml":          {"orchestrator/config", "benchmarks/sweep"},
	"github.com/vbauerster/mpb":         {"internal/cli"},
	"github.com/cenkalti/backoff":       {"internal/endpoint"},
	"github.com/prometheus":             {"sampler/localserver", "orchestrator/metrics"},
	"google.golang.org/protobuf":        {"orchestrator/tensorboard"},
	"golang.org/x/text/unicode/norm":    {"sampler/tokenizer", "sampler/reward/rule"},
	"github.com/kluctl/go-embed-python": {"sampler/reward/sympy"},
	"gonum.org/v1/plot":                 {"internal/chart"},
	"github.com/chromedp":               {"internal/webpage/webpagetest"},
}

func TestImports(t *testing.T) {
	files := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && path != "." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "bin" || name == "build") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		files++
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		from := filepath.ToSlash(filepath.Dir(path))
		for _, spec := range f.Imports {
			to, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if why := forbidden(from, to, strings.HasSuffix(path, "_test.go")); why != "" {
				t.Errorf("%s imports %s: %s", path, to, why)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 100 {
		t.Errorf("only %d files were looked at", files)
	}
}

// forbidden says why a file of package from may not import to; "" if it may.
func forbidden(from, to string, isTest bool) string {
	for prefix, folders := range foreign {
		if strings.HasPrefix(to, prefix) && !isTest && !slices.Contains(folders, from) {
			return "only " + strings.Join(append(slices.Clone(folders), "tests"), ", ") + " may"
		}
	}
	to = strings.TrimPrefix(to, module)
	for _, r := range rules {
		if isTest && !r.tests || !matches(r.from, from) || slices.ContainsFunc(r.except, func(p string) bool { return matches(p, from) }) {
			continue
		}
		if slices.ContainsFunc(r.to, func(p string) bool { return matches(p, to) }) && to != from {
			return r.why
		}
	}
	return ""
}

// matches: "x" is x alone, "x/*" all below x, "x/..." both.
func matches(pattern, pkg string) bool {
	if pattern == "..." {
		return true
	}
	if root, ok := strings.CutSuffix(pattern, "/..."); ok {
		return pkg == root || strings.HasPrefix(pkg, root+"/")
	}
	if root, ok := strings.CutSuffix(pattern, "/*"); ok {
		return strings.HasPrefix(pkg, root+"/")
	}
	return pkg == pattern
}

// The rules themselves: what they must catch, and what they must let pass.
func TestForbidden(t *testing.T) {
	for _, tc := range []struct {
		name, from, to string
		test, want     bool
	}{
		{"siblings", "sampler/vllm", module + "bridge", false, true},
		{"siblings in a test", "bridge/vllm", module + "sampler/openaitest", true, true},
		{"a parent and its implementation", "bridge", module + "bridge/vllm", false, true},
		{"an implementation and its parent", "bridge/vllm", module + "bridge", false, false},
		{"a run and an interface", "orchestrator", module + "sampler", false, false},
		{"a run and an implementation", "orchestrator", module + "sampler/vllm", false, true},
		{"gotch in a command", "internal/cli", "github.com/sugarme/gotch/ts", false, true},
		{"gotch where it belongs", "updater/torch", "github.com/sugarme/gotch/libtch", false, false},
		{"a fake in the program", "internal/cli", module + "sampler/openaitest", false, true},
		{"a fake in a test", "internal/cli", module + "sampler/openaitest", true, false},
		{"the command line from below", "orchestrator", module + "internal/cli", false, true},
		{"the command line from main", ".", module + "internal/cli", false, false},
		{"libtorch from the command line", "internal/cli", module + "updater/torch", false, false},
		{"plots in a command", "internal/cli", "gonum.org/v1/plot/vg", false, true},
		{"plots where they belong", "internal/chart", "gonum.org/v1/plot/vg", false, false},
		{"a browser in the program", "orchestrator/report", "github.com/chromedp/chromedp", false, true},
		{"a browser in a test", "orchestrator/report", "github.com/chromedp/chromedp", true, false},
		{"a server and its client", "sampler/localserver", module + "sampler/vllm", true, true},
		{"libtorch from a run", "orchestrator", module + "updater/torch", false, true},
	} {
		if got := forbidden(tc.from, tc.to, tc.test); (got != "") != tc.want {
			t.Errorf("%s: %s importing %s: %q, forbidden should be %t", tc.name, tc.from, tc.to, got, tc.want)
		}
	}
}
