package localserver

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadDefaults(t *testing.T) {
	dir := t.TempDir()
	if d, err := ReadDefaults(dir); err != nil || d != (Defaults{}) {
		t.Errorf("no file: %+v, %v", d, err)
	}
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(dir, "generation_config.json"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"temperature":0.6,"top_p":0.95,"top_k":20,"max_new_tokens":7,"eos_token_id":[1,2],"do_sample":true}`)
	d, err := ReadDefaults(dir)
	if err != nil || *d.Temperature != 0.6 || *d.TopP != 0.95 || *d.TopK != 20 || *d.MaxTokens != 7 || d.MinP != nil || d.RepetitionPenalty != nil {
		t.Errorf("%+v, %v", d, err)
	}
	write(`{"temperature":"warm"}`)
	if _, err := ReadDefaults(dir); err == nil || !strings.Contains(err.Error(), "generation_config.json") {
		t.Errorf("error %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	for want, o := range map[string]Options{
		"Options.Engine is nil":      {},
		"Options.Tokenizer is nil":   {Engine: &toy{}},
		"Options.Models has no name": {Engine: &toy{}, Tokenizer: byteTokens{}},
	} {
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}
