package cli

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/internal/ollamatest"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/llama/llamatest"
	"github.com/justrl/justrl/sampler/openaitest"
	"github.com/justrl/justrl/sampler/sglang/sglangtest"
	"github.com/justrl/justrl/sampler/tokenizer"
)

// only is a server of which a gateway lets through the given paths alone, below a base path.
func only(t *testing.T, target, base string, paths ...string) string {
	t.Helper()
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	srv := httptest.NewServer(http.StripPrefix(base, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, p := range paths {
			if r.URL.Path == p {
				proxy.ServeHTTP(w, r)
				return
			}
		}
		http.NotFound(w, r)
	})))
	t.Cleanup(srv.Close)
	return srv.URL + base
}

const shippedVocab = 384

// Every kind of server, and every fault that a start can see, as a user reads them.
func TestDoctor(t *testing.T) {
	policy, err := filepath.Abs("../../examples/arithmetic/policy")
	if err != nil {
		t.Fatal(err)
	}
	fake := func(change func(*openaitest.Options)) func(*testing.T) string {
		return func(t *testing.T) string {
			o := openaitest.Options{Vocab: shippedVocab, ModelDir: policy}
			if change != nil {
				change(&o)
			}
			return openaitest.New(t, o).URL
		}
	}
	tok, err := tokenizer.Load(policy)
	if err != nil {
		t.Fatal(err)
	}
	olla := func(t *testing.T) string {
		return ollamatest.New(t, ollamatest.Options{Tokenizer: tok, Vocab: shippedVocab, End: tok.EOS()[0], Begin: -1, Context: 2048}).URL
	}
	for _, c := range []struct {
		name   string // of the golden file
		server func(*testing.T) string
		args   []string
		code   int
	}{
		{"vllm", fake(nil), []string{"--model", policy}, ExitOK},
		{"vllm-without-model", fake(nil), nil, ExitOK},
		{"vllm-processed", fake(func(o *openaitest.Options) { o.Processed = true }), []string{"--model", policy}, ExitOK},
		{"vllm-of-another-temperature", fake(nil), []string{"--model", policy, "--preset", "tiny-cpu", "--set", "sampling.temperature=0.7"}, ExitServer},
		{"vllm-with-little-context", fake(func(o *openaitest.Options) { o.MaxModelLen = 64 }), []string{"--model", policy, "--preset", "tiny-cpu"}, ExitServer},
		{"vllm-without-dev-mode", fake(func(o *openaitest.Options) { o.NoDevMode = true }), []string{"--model", policy}, ExitServer},
		{"vllm-of-another-vocabulary", fake(func(o *openaitest.Options) { o.Vocab = 640 }), []string{"--model", policy}, ExitServer},
		{"vllm-of-another-model", fake(func(o *openaitest.Options) { o.ModelDir = otherModel(t) }), []string{"--model", policy}, ExitServer},
		{"vllm-that-ignores-temperature", fake(func(o *openaitest.Options) { o.IgnoreTemperature = true }), []string{"--model", policy}, ExitServer},
		{"vllm-that-is-always-greedy", fake(func(o *openaitest.Options) {
			o.Script = func([]int32, int64) []int32 { return []int32{5, 17, 200, 31, 9, 77, 300, 8} }
		}), []string{"--model", policy}, ExitServer},
		{"vllm-paused", func(t *testing.T) string {
			s := openaitest.New(t, openaitest.Options{Vocab: shippedVocab, ModelDir: policy})
			post(t, s.URL+"/pause")
			return s.URL
		}, []string{"--model", policy}, ExitServer},
		{"vllm-by-a-way-that-it-lacks", fake(nil), []string{"--model", policy, "--sync", "ollama"}, ExitServer},
		{"vllm-without-token-ids", func(t *testing.T) string {
			s := openaitest.New(t, openaitest.Options{Vocab: shippedVocab})
			s.Inject(openaitest.Fault{Kind: openaitest.FaultNoIDs, Times: -1})
			return s.URL
		}, []string{"--model", policy}, ExitServer},
		{"plain", func(t *testing.T) string {
			return only(t, fake(nil)(t), "", "/v1/models", "/v1/chat/completions")
		}, []string{"--model", policy}, ExitServer},
		{"no-chat", func(t *testing.T) string { return only(t, fake(nil)(t), "", "/v1/models") }, nil, ExitServer},
		{"ollama", olla, []string{"--model", policy}, ExitServer},
		{"ollama-allowed", olla, []string{"--model", policy, "--allow-retokenized"}, ExitOK},
		{"sglang", func(t *testing.T) string {
			return sglangtest.New(t, sglangtest.Options{Policy: openaitest.Options{Vocab: shippedVocab, ModelDir: policy}}).URL
		}, []string{"--model", policy}, ExitOK},
		{"sglang-behind-a-gateway", func(t *testing.T) string {
			return sglangtest.New(t, sglangtest.Options{NoControl: true, Policy: openaitest.Options{Vocab: shippedVocab, ModelDir: policy}}).URL
		}, []string{"--model", policy}, ExitServer},
		{"llama", func(t *testing.T) string {
			return llamatest.New(t, openaitest.Options{Vocab: shippedVocab, ModelDir: policy}).URL
		}, []string{"--model", policy}, ExitServer},
		{"llama-by-command", func(t *testing.T) string {
			return llamatest.New(t, openaitest.Options{Vocab: shippedVocab, ModelDir: policy}).URL
		}, []string{"--model", policy, "--preset", "tiny-cpu", "--sync", "command", "--set", "publish.command=[sh, reload, '{dir}']"}, ExitOK},
		{"nothing-there", func(t *testing.T) string {
			srv := httptest.NewServer(nil)
			srv.Close()
			return srv.URL
		}, nil, ExitServer},
		{"tls", func(t *testing.T) string { url, _ := guarded(t, "k"); return url }, nil, ExitServer},
	} {
		t.Run(c.name, func(t *testing.T) {
			address := c.server(t)
			args := append([]string{"doctor", "--server", address}, c.args...)
			code, out, errs := run(t, args...)
			if code != c.code || (code == ExitOK) != (errs == "") {
				t.Errorf("exit code %d, want %d; %s", code, c.code, errs)
			}
			u, _ := url.Parse(address)
			hide := strings.NewReplacer(u.Host, "HOST:PORT", filepath.Dir(filepath.Dir(filepath.Dir(policy))), "DIR")
			golden(t, "doctor-"+c.name, hideRandom(hide.Replace(out))) // the repository may be below the temporary folder
			code, out, _ = run(t, append(args, "--json")...)
			var x examined
			if err := json.Unmarshal([]byte(out), &x); err != nil || code != c.code || len(x.Servers) != 1 || x.Servers[0].Trainable != (c.code == ExitOK) {
				t.Errorf("exit code %d, %v: %s", code, err, out)
			}
			if d := x.Servers[0]; d.Reachable && d.Info.Model != "" && d.Info.Dialect != d.Dialect {
				t.Errorf("%s is not %s", d.Info.Dialect, d.Dialect)
			}
		})
	}
}

// hideRandom hides the names of temporary folders.
func hideRandom(text string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if at := strings.Index(l, os.TempDir()+"/"); at >= 0 {
			end := at + strings.IndexAny(l[at:]+" ", " ,:")
			lines[i] = l[:at] + "TMP" + l[end:]
		}
	}
	return strings.Join(lines, "\n")
}

// golden compares with a file of testdata, or writes it with -update.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("(-want +got); run with -update if it was meant:\n%s", d)
	}
}

func post(t *testing.T, address string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v %v", resp, err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
}

// otherModel is a folder of a model with one tensor that the shipped policy has not.
func otherModel(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	header := `{"model.other.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`
	var b bytes.Buffer
	b.Write([]byte{byte(len(header)), 0, 0, 0, 0, 0, 0, 0})
	b.WriteString(header)
	b.Write(make([]byte, 4))
	for name, text := range map[string][]byte{"model.safetensors": b.Bytes(), "config.json": []byte(`{}`)} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Several servers are one fleet, if they serve one model.
func TestDoctorOfAFleet(t *testing.T) {
	a := openaitest.New(t, openaitest.Options{})
	for _, c := range []struct {
		name string
		o    openaitest.Options
		code int
		want string
	}{
		{"alike", openaitest.Options{}, ExitOK, "2 servers as one: each loads every step's weights and proves it"},
		{"of two models", openaitest.Options{Vocab: 640}, ExitServer, "serves tiny with a vocabulary of 640, " + a.URL + " serves tiny with 512; a run trains one model"},
		{"one cannot", openaitest.Options{NoDevMode: true}, ExitServer, "none as long as one cannot train"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := openaitest.New(t, c.o)
			code, out, errs := run(t, "doctor", "--server", a.URL, "--server", b.URL)
			if code != c.code || !strings.Contains(out+errs, c.want) || !strings.Contains(out, "\nfleet  ") {
				t.Errorf("exit code %d, %s%s", code, out, errs)
			}
		})
	}
}

// What a server is is found in one order, by routes that no other kind has, below any base path.
func TestDiscover(t *testing.T) {
	vllm := openaitest.New(t, openaitest.Options{}).URL
	closed := openaitest.New(t, openaitest.Options{NoDevMode: true}).URL
	olla := ollamatest.New(t, ollamatest.Options{Tokenizer: ollamatest.Plain{}, Vocab: 384, End: ollamatest.End, Begin: ollamatest.Begin}).URL
	for _, c := range []struct {
		name, url string
		want      sampler.Dialect
	}{
		{"vllm", vllm, sampler.DialectVLLM},
		{"vllm without dev mode", closed, sampler.DialectVLLM},
		{"vllm whose /version is hidden", only(t, vllm, "", "/is_paused", "/v1/models"), sampler.DialectVLLM},
		{"vllm below a base path", only(t, closed, "/team/llm", "/version", "/tokenize"), sampler.DialectVLLM},
		{"a version and nothing else", only(t, closed, "", "/version"), sampler.DialectOpenAI},
		{"only /v1", only(t, vllm, "/team/llm", "/v1/models"), sampler.DialectOpenAI},
		{"ollama", olla, sampler.DialectOllama},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := keyless(t, c.url)
			d, err := discover(t.Context(), e)
			if err != nil || d.name != c.want {
				t.Errorf("%q, %v; want %q", d.name, err, c.want)
			}
		})
	}
}

func keyless(t *testing.T, address string) *endpoint.Endpoint {
	t.Helper()
	e, err := endpoint.New(address, endpoint.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// An address that is refused is shown without what may be a password or a key.
func TestRefusedAddresses(t *testing.T) {
	const secret = "hunter2secret"
	two := []string{"--server", "http://127.0.0.1:9", "--server", "http://127.0.0.1:8"}
	training := []string{"run", "--preset", "tiny-cpu", "--model", faultyModel, "--data", "../../examples/arithmetic/train.jsonl", "--out", filepath.Join(t.TempDir(), "out"), "--share", "127.0.0.1:0"}
	agent := "http://me:" + secret + "@127.0.0.1:8"
	for name, args := range map[string][]string{
		"a password":                 {"doctor", "--server", "http://me:" + secret + "@127.0.0.1:9"},
		"a key":                      {"doctor", "--server", "http://127.0.0.1:9/?key=" + secret},
		"a key, as JSON":             {"doctor", "--json", "--server", "http://127.0.0.1:9/?key=" + secret},
		"an agent of nobody":         slices.Concat(training, two, []string{"--agent", agent}),
		"an agent of no such server": slices.Concat(training, two, []string{"--agent", "http://me:" + secret + "@127.0.0.1:7=" + agent}),
		"an agent with a password":   slices.Concat(training, two[:2], []string{"--agent", agent}),
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errs := run(t, args...)
			if code != ExitUsage || errs == "" || strings.Contains(out+errs, secret) {
				t.Errorf("exit code %d: %s%s", code, out, errs)
			}
		})
	}
}

// A gateway that leaves token ids out, and hides what its server says of a bad
// request, so that the vocabulary is not known either: that trains nothing.
func TestNoTokenIDsAndNoVocabulary(t *testing.T) {
	fake := openaitest.New(t, openaitest.Options{Vocab: shippedVocab})
	fake.Inject(openaitest.Fault{Kind: openaitest.FaultNoIDs, Times: -1})
	to, err := url.Parse(fake.URL)
	if err != nil {
		t.Fatal(err)
	}
	gateway := httputil.NewSingleHostReverseProxy(to)
	gateway.ModifyResponse = func(r *http.Response) error {
		if r.StatusCode == http.StatusBadRequest {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader("bad request")), 11
			r.Header.Set("Content-Length", "11")
		}
		return nil
	}
	srv := httptest.NewServer(gateway)
	t.Cleanup(srv.Close)
	code, out, errs := run(t, "doctor", "--server", srv.URL, "--model", faultyModel)
	if code != ExitServer || !strings.Contains(errs, "gives no token ids") || !strings.Contains(out, "cannot train") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
}

// A program that is to load the weights and is not there is told before a run begins.
func TestNoSuchProgram(t *testing.T) {
	fake := openaitest.New(t, openaitest.Options{Vocab: shippedVocab})
	code, out, errs := run(t, "doctor", "--server", fake.URL, "--sync", "command", "--set", "publish.command=[./no-such-reload, '{dir}']")
	if code != ExitUsage || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, `publish.command: exec: "./no-such-reload"`) || strings.Contains(out, "plan             trains") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
}
