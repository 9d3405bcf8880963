package vllm

import (
	"context"
	"fmt"
	"net/http"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/internal/endpoint"
)

// tagOf is a name for the weights of s that was never used before.
func (p *Publisher) tagOf(s bridge.Snapshot) string { return fmt.Sprintf("%s-%d", p.o.Run, s.Version) }

// setTag gives the loaded weights their name, which vLLM 0.30 and later shows and
// reports with every token span. It returns "" for an older server.
func (p *Publisher) setTag(ctx context.Context, s bridge.Snapshot) (string, error) {
	tag := p.tagOf(s)
	err := p.do(ctx, http.MethodPost, "/update_weight_version", map[string]string{"new_version": tag}, nil)
	if endpoint.StatusOf(err) == http.StatusNotFound {
		return "", nil
	}
	return tag, err
}

func (p *Publisher) shownTag(ctx context.Context) (string, error) {
	var reply struct {
		WeightVersion string `json:"weight_version"`
	}
	err := p.do(ctx, http.MethodGet, "/weight_info", nil, &reply)
	return reply.WeightVersion, err
}
