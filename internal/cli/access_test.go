package cli

import (
	"encoding/pem"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/justrl/justrl/sampler/openaitest"
)

// guarded is a server with TLS that serves one model to those who have its key
// and the gateway's header, and the file of its certificate.
func guarded(t *testing.T, key string) (url, ca string) {
	t.Helper()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+key || r.Header.Get("X-Tenant") != "blue" {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"error":"Unauthorized"}`))
			return
		}
		if r.URL.Path != "/v1/models" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(`{"object":"list","data":[{"id":"a","object":"model"},{"id":"b","object":"model"}]}`))
	}))
	srv.Config.ErrorLog = log.New(nowhere{}, "", 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return srv.URL, ca
}

type nowhere struct{}

func (nowhere) Write(b []byte) (int, error) { return len(b), nil }

// A server's certificate is held to the system's authorities, and to those that
// were given; keys and headers reach the server and nobody else.
func TestAccess(t *testing.T) {
	const key = "sk-guarded-7d2f"
	url, ca := guarded(t, key)
	keyFile, two := file(t, "key", key+"\n"), file(t, "two", key+"\n"+key+"\n")
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"a certificate that nobody vouches for", []string{"--api-key-file", keyFile, "--header", "X-Tenant: blue"}, ExitServer, "certificate is not trusted; give its CA"},
		{"its own authority, key from a file, header", []string{"--ca-file", ca, "--api-key-file", keyFile, "--header", "X-Tenant: blue"}, ExitServer, "serves 2 models (a, b)"},
		{"without the header", []string{"--ca-file", ca, "--api-key-file", keyFile}, ExitServer, "401"},
		{"another key", []string{"--ca-file", ca, "--api-key", "other", "--header", "X-Tenant: blue"}, ExitServer, "401"},
		{"a key twice", []string{"--api-key", key, "--api-key-file", keyFile}, ExitUsage, "--api-key and --api-key-file: give one of them"},
		{"a file with two lines", []string{"--api-key-file", two}, ExitUsage, "does not hold one key on one line"},
		{"no such file", []string{"--api-key-file", "no-such"}, ExitUsage, "no-such: no such file"},
		{"a CA that is none", []string{"--ca-file", keyFile}, ExitUsage, "has no certificate in PEM"},
		{"a header without a name", []string{"--header", key}, ExitUsage, "--header, the first: is not of the form"},
		{"the key as a header", []string{"--header", "Authorization: Bearer " + key}, ExitUsage, "give the key with --api-key-file"},
		{"a header that is ours", []string{"--header", "content-type: " + key}, ExitUsage, "header Content-Type: is set by the program itself"},
		{"a header's value with a line break", []string{"--header", "X-A: " + key + "\nB: c"}, ExitUsage, "header X-A: its value has characters"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out, errs := run(t, append([]string{"doctor", "--server", url}, c.args...)...)
			if code != c.code || !strings.Contains(errs, c.want) {
				t.Errorf("exit %d with %q, want %d with %q", code, errs, c.code, c.want)
			}
			if strings.Contains(out+errs, key) {
				t.Errorf("the key is shown: %s%s", out, errs)
			}
		})
	}
}

// TestKeysAreNowhere: an evaluation that goes well, and one that is refused,
// leave the key in no file and in no line.
func TestKeysAreNowhere(t *testing.T) {
	const key, judgeKey, tenant = "sk-policy-51ab", "sk-judge-93fe", "blue-tenant-7c"
	fake := sums(t, func(o *openaitest.Options) { o.APIKey = key })
	judge := sums(t, func(o *openaitest.Options) { o.APIKey = judgeKey })
	for _, c := range []struct {
		name, given string
		code        int
	}{{"a key that is right", key, ExitOK}, {"one that is not", key + "-old", ExitServer}} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("JUSTRL_API_KEY", c.given)
			t.Setenv("JUSTRL_JUDGE_API_KEY", judgeKey)
			out := t.TempDir()
			code, stdout, stderr := run(t, evalArgs(fake.URL, sumsSet(t, 2), out, "--header", "X-Tenant: "+tenant, "--judge", judge.URL, "--json")...)
			if code != c.code {
				t.Fatalf("exit %d: %s", code, stderr)
			}
			for _, secret := range []string{c.given, judgeKey, tenant} {
				if found := grep(t, out, secret); len(found) > 0 || strings.Contains(stdout+stderr, secret) {
					t.Errorf("%s is in %q, or in what was printed:\n%s%s", secret, found, stdout, stderr)
				}
			}
		})
	}
	for _, r := range fake.Requests(chatPath) {
		if got := r.Header.Get("X-Tenant"); got != tenant {
			t.Errorf("%s %s came with X-Tenant %q", r.Method, r.Path, got)
		}
	}
}

// Neither do the questions about a server, with an answer and without one, nor
// the start of a run; and what a run writes has none of them.
func TestKeysAreNowhereOfARun(t *testing.T) {
	const key, tenant = "sk-trainer-8c1d", "red-tenant-40"
	server := openaitest.New(t, openaitest.Options{Vocab: shippedVocab, MaxModelLen: 2048, APIKey: key})
	keyFile := file(t, "key", key)
	for _, c := range []struct {
		name, given string
		args        []string
	}{
		{"doctor", key, []string{"doctor"}},
		{"doctor as JSON", key, []string{"doctor", "--json"}},
		{"doctor with another key", key + "-old", []string{"doctor"}},
		{"run", key, nil},
		{"run with another key", key + "-old", nil},
		{"run with a log of JSON", key, []string{"--log", "json"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := t.TempDir()
			args := c.args
			if len(args) == 0 || args[0] != "doctor" {
				args = append([]string{
					"run", "--preset", "tiny-cpu", "--model", "../../examples/arithmetic/policy", "--data", "../../examples/arithmetic/train.jsonl",
					"--out", filepath.Join(out, "run"), "--steps", "1", "--set", "sampling.patience=1s",
				}, args...)
			}
			args = append(args, "--server", server.URL, "--header", "X-Tenant: "+tenant)
			if c.given == key {
				args = append(args, "--api-key-file", keyFile)
			} else {
				t.Setenv("JUSTRL_API_KEY", c.given)
			}
			code, stdout, stderr := run(t, args...)
			if (args[0] == "doctor" && c.given == key) != (code == ExitOK) {
				t.Errorf("exit code %d: %s", code, stderr)
			}
			if reached := !strings.Contains(stderr, "401"); reached != (c.given == key) {
				t.Errorf("answered: %t: %s", reached, stderr)
			}
			for _, secret := range []string{c.given, tenant} {
				if found := grep(t, out, secret); len(found) > 0 || strings.Contains(stdout+stderr, secret) {
					t.Errorf("%s is in %q, or in what was printed:\n%s%s", secret, found, stdout, stderr)
				}
			}
		})
	}
}

// grep gives the files under dir that have the text.
func grep(t *testing.T, dir, text string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(b), text) {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
