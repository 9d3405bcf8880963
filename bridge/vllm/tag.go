package vllm

import (
	"context"
	"fmt"
	"net/http"

	"github.com/justrl/justrl/bridge"
)

// setTag gives the loaded weights a name that was never used before, which
// vLLM 0.30 and later shows and reports with every token span. It returns ""
// for an older server.
func (p *Publisher) setTag(ctx context.Context, s bridge.Snapshot) (string, error) {
	tag := fmt.Sprintf("%s-%d", p.o.Run, s.Version)
	err := p.do(ctx, http.MethodPost, "/update_weight_version", map[string]string{"new_version": tag}, nil)
	if statusOf(err) == http.StatusNotFound {
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
