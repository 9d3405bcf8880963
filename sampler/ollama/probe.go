package ollama

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"

	"github.com/ollama/ollama/api"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
)

// AllowHint is what a run must be given to train on answers that are tokenized here.
const AllowHint = "allow it with --allow-retokenized (docs/servers.md says what that costs in exactness)"

// tagPrefix begins the line of a model's license in which bridge/ollama names its weights.
const tagPrefix = "weights of justrl run "

// ForTraining is nil if a training run can use the server: allowed must say that
// answers may be tokenized here, and the served model must have vocab ids (the run's
// model's vocab_size).
func ForTraining(i sampler.Info, url string, vocab int, allowed bool) error {
	var errs []error
	if !allowed {
		errs = append(errs, &sampler.CannotError{URL: url, What: "is an Ollama server, which neither takes nor gives token ids", Hint: AllowHint})
	}
	if i.LogprobsMode == sampler.LogprobsUnknown {
		errs = append(errs, &sampler.CannotError{URL: url, What: fmt.Sprintf("Ollama %s gives no log-probs, so that nobody can prove which weights it serves", i.Version), Hint: "use Ollama 0.12.11 or later"})
	}
	if i.Vocab != 0 && i.Vocab != vocab {
		errs = append(errs, &sampler.CannotError{URL: url, What: fmt.Sprintf("serves %s with a vocabulary of %d, the run's model has %d", i.Model, i.Vocab, vocab), Hint: "create it from the run's model"})
	}
	return errors.Join(errs...)
}

// Probe asks an Ollama server what it is. served is the model's name, with or without
// its tag; "" takes the only one. It generates one token, which has the server load
// the model, and changes nothing.
//
// A server that is no Ollama, or has not that model, gives a [*sampler.CannotError];
// one that does not answer an [*endpoint.UnreachableError].
func Probe(ctx context.Context, e *endpoint.Endpoint, served string, retry endpoint.Retry) (sampler.Info, error) {
	c, err := newClient(e)
	if err != nil {
		return sampler.Info{}, err
	}
	p := prober{c: c, retry: retry, info: sampler.Info{
		Dialect: sampler.DialectOllama, MaxSamples: 1, Seeds: true, Loads: []string{"ollama"},
	}}
	for _, ask := range []func(context.Context, string) error{p.version, p.models, p.model, p.logprobs} {
		if err := ask(ctx, served); err != nil {
			return sampler.Info{}, fmt.Errorf("probe server: %w", err)
		}
	}
	return p.info, nil
}

type prober struct {
	c     *client
	retry endpoint.Retry
	info  sampler.Info
}

// ask has one request of Ollama's client tried as the others are.
func ask[T any](ctx context.Context, c *client, retry endpoint.Retry, path string, op func(context.Context) (T, error)) (out T, err error) {
	err = retry.Do(ctx, func(ctx context.Context) (err error) {
		if out, err = op(ctx); err != nil {
			return c.failed(ctx, path, err)
		}
		return nil
	})
	return out, err
}

func (p *prober) version(ctx context.Context, _ string) (err error) {
	p.info.Version, err = ask(ctx, p.c, p.retry, "/api/version", p.c.Version)
	var status *endpoint.StatusError
	var reply *endpoint.ReplyError
	if errors.As(err, &status) && (status.Status == http.StatusNotFound || status.Status == http.StatusMethodNotAllowed) ||
		errors.As(err, &reply) || err == nil && p.info.Version == "" {
		return &sampler.CannotError{URL: p.c.url, What: "is no Ollama server: it does not answer /api/version", Hint: "check the address"}
	}
	return err
}

func (p *prober) models(ctx context.Context, want string) error {
	list, err := ask(ctx, p.c, p.retry, "/api/tags", p.c.List)
	if err != nil {
		return err
	}
	for _, m := range list.Models {
		p.info.Models = append(p.info.Models, m.Name)
	}
	names := strings.Join(p.info.Models, ", ")
	if want == "" {
		if len(p.info.Models) != 1 {
			return &sampler.CannotError{URL: p.c.url, What: fmt.Sprintf("has %d models (%s)", len(p.info.Models), names), Hint: "name one"}
		}
		want = p.info.Models[0]
	}
	for _, name := range p.info.Models {
		if name == want || name == want+":latest" {
			p.info.Model = name
			return nil
		}
	}
	return &sampler.CannotError{URL: p.c.url, What: fmt.Sprintf("does not serve %q", want), Hint: "it has " + names}
}

func (p *prober) model(ctx context.Context, _ string) error {
	show, err := p.c.show(ctx, p.retry, p.info.Model, true)
	if err != nil {
		return err
	}
	p.info.Quantization = show.Details.QuantizationLevel
	p.info.MaxModelLen = number(show.ModelInfo, arch(show)+".context_length")
	if tokens, ok := show.ModelInfo["tokenizer.ggml.tokens"].([]any); ok {
		p.info.Vocab = len(tokens)
	}
	for line := range strings.Lines(show.Modelfile) {
		if from, ok := strings.CutPrefix(strings.TrimSpace(line), "FROM "); ok {
			p.info.Root = from
		}
	}
	for line := range strings.Lines(show.License) {
		if tag, ok := strings.CutPrefix(strings.TrimSpace(line), tagPrefix); ok {
			p.info.WeightVersion = tag
		}
	}
	return nil
}

// show is what the server says of a model, its vocabulary included if all.
func (c *client) show(ctx context.Context, retry endpoint.Retry, model string, all bool) (*api.ShowResponse, error) {
	return ask(ctx, c, retry, "/api/show", func(ctx context.Context) (*api.ShowResponse, error) {
		return c.Show(ctx, &api.ShowRequest{Model: model, Verbose: all})
	})
}

func arch(show *api.ShowResponse) string {
	name, _ := show.ModelInfo["general.architecture"].(string)
	return name
}

// number is a whole number of a model's info; 0 if it has none of that name.
func number(info map[string]any, key string) int {
	x, _ := info[key].(float64)
	if x < 0 || x > math.MaxInt32 || x != math.Trunc(x) {
		return 0
	}
	return int(x)
}

// logprobs asks for the same next token at two temperatures: log-probs of the model
// are equal then, those of the sampled distribution are not.
func (p *prober) logprobs(ctx context.Context, _ string) error {
	var seen [2]float64
	for i, temperature := range []float64{1, 2} {
		x, given, err := p.likeliest(ctx, temperature)
		if err != nil || !given {
			return err
		}
		seen[i] = x
	}
	p.info.Scores = true
	p.info.LogprobsMode = sampler.LogprobsProcessed
	if math.Abs(seen[0]-seen[1]) < 0.02 { // batch noise; a tenth of it in f16
		p.info.LogprobsMode = sampler.LogprobsRaw
	}
	return nil
}

// likeliest is the greatest log-prob of the first token after a prompt, whatever was
// sampled. The end token and half a character come without: another is sampled then.
func (p *prober) likeliest(ctx context.Context, temperature float64) (x float64, given bool, err error) {
	sp := sampler.Params{Temperature: temperature, TopP: 1, TopK: -1}
	for try := range 8 {
		o := options(sp, max(64, min(p.info.MaxModelLen, probeContext)), 1, seed(0, try))
		reply, err := p.c.generate(ctx, Options{Retry: p.retry}, raw(p.info.Model, "1", o, 1))
		if err != nil {
			return 0, false, err
		}
		if len(reply.Logprobs) > 0 && len(reply.Logprobs[0].TopLogprobs) > 0 {
			return reply.Logprobs[0].TopLogprobs[0].Logprob, true, nil
		}
	}
	return 0, false, nil
}

// probeContext is that of the one request of a probe: the default of an Ollama without
// a GPU, so that a model that is loaded for other users stays.
const probeContext = 4096
