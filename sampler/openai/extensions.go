package openai

import (
	"errors"
	"net/http"
	"strings"

	"github.com/justrl/justrl/internal/endpoint"
)

// Extensions are the fields beyond OpenAI's dialect that could change what is
// sampled. vLLM takes from the model's generation_config.json what a request
// leaves out, so a request that means the model's own distribution has to send
// them: see [Neutral].
type Extensions struct {
	TopK              int     `json:"top_k"`              // -1 is off
	MinP              float64 `json:"min_p"`              // 0 is off
	RepetitionPenalty float64 `json:"repetition_penalty"` // 1 is off
}

// Neutral has every extension at the value that switches it off. A server that
// refuses them is asked without from then on; see [Client.Plain].
func Neutral() *Extensions { return &Extensions{TopK: -1, RepetitionPenalty: 1} }

// Plain tells that the server refused extensions, and is sent none.
func (c *Client) Plain() bool { return c.plain.Load() }

// refusesExtensions tells a server that knows OpenAI's fields alone.
func refusesExtensions(err error) bool {
	var status *endpoint.StatusError
	if !errors.As(err, &status) || status.Status != http.StatusBadRequest && status.Status != http.StatusUnprocessableEntity {
		return false
	}
	for _, field := range []string{"top_k", "min_p", "repetition_penalty"} {
		if strings.Contains(status.Message+" "+status.Param, field) {
			return true
		}
	}
	return false
}
