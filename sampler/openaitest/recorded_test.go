package openaitest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/justrl/justrl/sampler/openaitest"
)

// The fake is held to recordings of a real vLLM. To make them again, with any
// model folder named tiny that has a context and a vocabulary of 512, and a
// byte-level tokenizer in which token 53 is "S" and token 2 ends a sequence:
//
//	scripts/vllm-serve /tmp/tiny 8199 --api-key record &
//	go test ./sampler/openaitest -run TestAnswersAsVLLM -record http://127.0.0.1:8199
//	kill %1
var record = flag.String("record", "", "URL of a real vLLM whose answers are recorded anew")

const (
	recordings = "testdata/vllm.jsonl"
	recordKey  = "record"
)

func TestAnswersAsVLLM(t *testing.T) {
	if *record != "" {
		recordAll(t, *record)
	}
	dir := weights(t, "a")
	fake := openaitest.New(t, openaitest.Options{APIKey: recordKey, ModelDir: dir})
	recorded := readRecordings(t)
	if diff := cmp.Diff(requests(), recorded, cmpopts.IgnoreFields(exchange{}, "Status", "Type", "Reply")); diff != "" {
		t.Fatalf("%s is of other requests, record it again (-requests +recorded):\n%s", recordings, diff)
	}
	for _, want := range recorded {
		t.Run(want.Name, func(t *testing.T) {
			got := want
			if err := send(t.Context(), fake.URL, dir, &got); err != nil {
				t.Fatal(err)
			}
			if got.Status != want.Status || got.Type != want.Type {
				t.Errorf("%d %s, vLLM answers %d %s", got.Status, got.Type, want.Status, want.Type)
			}
			if private.MatchString(want.Reply) {
				t.Errorf("the recording has something of a machine in it: %s", want.Reply)
			}
			if want.Own {
				want.Reply, got.Reply = wording.ReplaceAllString(want.Reply, `$1""`), wording.ReplaceAllString(got.Reply, `$1""`)
			}
			if diff := cmp.Diff(shape(want.Reply), shape(got.Reply)); diff != "" {
				t.Errorf("(-vLLM +fake)\n%s\nvLLM: %.600s\nfake: %.600s", diff, want.Reply, got.Reply)
			}
		})
	}
}

// recordAll sends every request to a real server and writes the answers.
func recordAll(t *testing.T, url string) {
	models := exchange{Method: "GET", Path: "/v1/models"}
	if err := send(t.Context(), url, "", &models); err != nil {
		t.Fatal(err)
	}
	var list struct{ Data []struct{ Root string } }
	if err := json.Unmarshal([]byte(models.Reply), &list); err != nil || len(list.Data) == 0 {
		t.Fatalf("%s: not a list of models: %s", url, models.Reply)
	}
	var out bytes.Buffer
	lines := json.NewEncoder(&out)
	lines.SetEscapeHTML(false)
	for _, e := range requests() {
		if err := send(t.Context(), url, list.Data[0].Root, &e); err != nil {
			t.Fatalf("%s: %v", e.Name, err)
		}
		e.Reply = strings.ReplaceAll(e.Reply, list.Data[0].Root, "MODELDIR")
		if private.MatchString(e.Reply) {
			t.Fatalf("%s: the answer has something of this machine in it: %s", e.Name, e.Reply)
		}
		if err := lines.Encode(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(recordings, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// wording are the parts of an error that differ where the fake's words are its own.
var wording = regexp.MustCompile(`("(?:message|param)":)(?:null|"(?:[^"\\]|\\.)*")`)

// private is what no recording may have: paths of the machine.
var private = regexp.MustCompile(`/(home|root|tmp|usr|var|opt|work)/|site-packages`)

// send sends e's request and fills in the answer.
func send(ctx context.Context, url, dir string, e *exchange) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, e.Method, url+e.Path, strings.NewReader(strings.ReplaceAll(e.Body, "MODELDIR", dir)))
	if err != nil {
		return err
	}
	req.Close = true // vLLM closes a connection after some errors without announcing it
	if e.Body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if !e.NoKey {
		req.Header.Set("Authorization", "Bearer "+recordKey)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	e.Status = resp.StatusCode
	e.Type, _, err = mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil && len(body) > 0 {
		return errors.New("an answer without a media type")
	}
	e.Reply = string(body)
	if e.Path == "/metrics" { // only what the fake has of it
		e.Reply = running.FindString(e.Reply)
	}
	return nil
}

var running = regexp.MustCompile(`(?m)^vllm:num_requests_running\{.*$`)

func readRecordings(t *testing.T) []exchange {
	t.Helper()
	b, err := os.ReadFile(recordings)
	if err != nil {
		t.Fatal(err)
	}
	var out []exchange
	for lines := json.NewDecoder(bytes.NewReader(b)); lines.More(); {
		var e exchange
		if err := lines.Decode(&e); err != nil {
			t.Fatalf("%s: %v", recordings, err)
		}
		out = append(out, e)
	}
	return out
}

// weights makes a folder of weights that hold nothing but a name.
func weights(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	header := `{"__metadata__":{"name":"` + name + `"}}`
	file := append([]byte{byte(len(header)), 0, 0, 0, 0, 0, 0, 0}, header...)
	if err := os.WriteFile(filepath.Join(dir, "model.safetensors"), file, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}
