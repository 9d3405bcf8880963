package localserver

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/goccy/go-json"
)

// Options are a Server's settings. Engine, Tokenizer and Models are needed;
// the others' zero values are the defaults that they name.
type Options struct {
	Engine    Engine
	Tokenizer Tokenizer
	Models    []string // served names; the first is the one that replies have
	Root      string   // folder of the weights: what a reload without a path reads again
	Version   string   // of /version and fingerprints; "" is 0.32.0
	// Fingerprint ends replies' system_fingerprint; "" is "justrl".
	Fingerprint string
	APIKey      string // asked for under /v1 and /inference; "" asks for none
	// KeyEverywhere asks for it on every route but /health: for an address that
	// other machines reach. A vLLM has no such setting.
	KeyEverywhere bool
	// DevMode has the routes that pause, reload and abort. They ask for no key
	// without KeyEverywhere: listen on the loopback address only.
	DevMode  bool
	Defaults Defaults // of sampling parameters that requests leave out

	MaxBody    int64 // bytes of a body; 0 is 32 MiB
	MaxN       int   // samples of one prompt; 0 is 16384
	MaxSamples int   // samples under way and waiting, all requests together: more are answered 503; 0 is 65536
	MaxHeader  int   // bytes of a request's headers; 0 is 64 KiB

	Seed func() int64 // seeds of requests that have none; nil draws them
	Log  *slog.Logger // where panics of handlers go; nil discards them
}

func (o *Options) fill() error {
	switch {
	case o.Engine == nil:
		return errors.New("local server: Options.Engine is nil")
	case o.Tokenizer == nil:
		return errors.New("local server: Options.Tokenizer is nil")
	case len(o.Models) == 0 || o.Models[0] == "":
		return errors.New("local server: Options.Models has no name")
	}
	if m := o.Engine.Model(); m.Vocab < 1 || m.MaxLen < 2 {
		return fmt.Errorf("local server: the engine's model has a vocabulary of %d and a context of %d", m.Vocab, m.MaxLen)
	}
	text := func(p *string, d string) {
		if *p == "" {
			*p = d
		}
	}
	number := func(p *int, d int) {
		if *p == 0 {
			*p = d
		}
	}
	text(&o.Version, "0.32.0")
	text(&o.Fingerprint, "justrl")
	number(&o.MaxN, 16384)
	number(&o.MaxSamples, 65536)
	number(&o.MaxHeader, 64<<10)
	if o.MaxBody == 0 {
		o.MaxBody = 32 << 20
	}
	if o.Seed == nil {
		o.Seed = rand.Int64
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

// ReadDefaults reads the sampling parameters of a model folder's
// generation_config.json, which vLLM gives to requests that leave them out.
// There need be no such file.
func ReadDefaults(dir string) (Defaults, error) {
	path := filepath.Join(dir, "generation_config.json")
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Defaults{}, nil
	case err != nil:
		return Defaults{}, err
	}
	var c struct {
		Temperature       *float64 `json:"temperature"`
		TopP              *float64 `json:"top_p"`
		MinP              *float64 `json:"min_p"`
		RepetitionPenalty *float64 `json:"repetition_penalty"`
		TopK              *int64   `json:"top_k"`
		MaxNewTokens      *int64   `json:"max_new_tokens"`
	}
	if err := json.Unmarshal(b, &c); err != nil {
		return Defaults{}, fmt.Errorf("%s: %w", path, err)
	}
	return Defaults{
		Temperature: c.Temperature, TopP: c.TopP, MinP: c.MinP, RepetitionPenalty: c.RepetitionPenalty,
		TopK: c.TopK, MaxTokens: c.MaxNewTokens,
	}, nil
}
