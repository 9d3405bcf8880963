package localserver

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are vLLM's, under its names, in a registry of the server's own.
type metrics struct {
	registry   *prometheus.Registry
	firstToken prometheus.Histogram
	latency    prometheus.Histogram
	perToken   prometheus.Histogram
	prompt     prometheus.Histogram
	generated  prometheus.Histogram
	ended      *prometheus.CounterVec
}

// Bounds of the histograms, in seconds and tokens.
var (
	seconds = []float64{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800}
	tokens  = []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000}
)

func newMetrics(s *Server) *metrics {
	labels := prometheus.Labels{"engine": "0", "model_name": s.o.Models[0]}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, ConstLabels: labels, Buckets: buckets})
	}
	m := &metrics{
		registry:   prometheus.NewRegistry(),
		firstToken: histogram("vllm:time_to_first_token_seconds", "Time from a request to its first token.", seconds),
		latency:    histogram("vllm:e2e_request_latency_seconds", "Time from a request to its last token.", seconds),
		perToken:   histogram("vllm:request_time_per_output_token_seconds", "Time of a request divided by the tokens of its longest sample.", seconds),
		prompt:     histogram("vllm:request_prompt_tokens", "Prompt tokens of a request.", tokens),
		generated:  histogram("vllm:request_generation_tokens", "Generated tokens of a sample.", tokens),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "vllm:request_success_total", Help: "Samples that ended, by reason.", ConstLabels: labels,
		}, []string{"finished_reason"}),
	}
	for _, reason := range []string{"stop", "length", "abort", "error", "repetition"} {
		m.ended.WithLabelValues(reason)
	}
	m.registry.MustRegister(m.firstToken, m.latency, m.perToken, m.prompt, m.generated, m.ended)
	stats := s.o.Engine.Stats
	gauge := func(name, help string, f func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, f))
	}
	counter := func(name, help string, f func() float64) {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels}, f))
	}
	gauge("vllm:num_requests_running", "Sequences that tokens are drawn for.", func() float64 { return float64(stats().Running) })
	gauge("vllm:num_requests_waiting", "Sequences that wait for room.", func() float64 { return float64(stats().Waiting) })
	gauge("vllm:kv_cache_usage_perc", "Share of the KV cache in use, 0 to 1.", func() float64 { return stats().KVUsage })
	counter("vllm:prompt_tokens_total", "Prompt tokens computed.", func() float64 { return float64(stats().PromptTokens) })
	counter("vllm:generation_tokens_total", "Tokens generated.", func() float64 { return float64(stats().GeneratedTokens) })
	counter("vllm:prefix_cache_queries_total", "Prompt tokens looked up in the prefix cache.", func() float64 { return float64(stats().CacheQueries) })
	counter("vllm:prefix_cache_hits_total", "Prompt tokens found in the prefix cache.", func() float64 { return float64(stats().CacheHits) })
	counter("vllm:num_preemptions_total", "Sequences that made room for others.", func() float64 { return float64(stats().Preemptions) })
	return m
}

// observe records a prompt's samples that have ended.
func (m *metrics) observe(r Request, samples []answer, took time.Duration) {
	longest := 0
	for _, a := range samples {
		m.ended.WithLabelValues(a.finish).Inc()
		m.generated.Observe(float64(len(a.tokens)))
		longest = max(longest, len(a.tokens))
	}
	m.prompt.Observe(float64(len(r.Prompt)))
	m.latency.Observe(took.Seconds())
	if longest > 0 {
		m.perToken.Observe(took.Seconds() / float64(longest))
	}
}
