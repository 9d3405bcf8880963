package metrics

import "github.com/prometheus/client_golang/prometheus"

// figures are the metrics of a run but for those of its servers.
type figures struct {
	info, inPhase, stepSeconds, accuracy, figure *prometheus.GaugeVec
	phaseSeconds, serverEvents, events           *prometheus.CounterVec

	step, planned, phaseStart, stepEnd, reward, correct, length, clipped, entropy, rate prometheus.Gauge
	stepsDone, tokens, rollouts, rolloutTokens, verifierErrors                          prometheus.Counter
}

func newFigures() figures {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "justrl_" + name, Help: help})
	}
	gauges := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "justrl_" + name, Help: help}, labels)
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "justrl_" + name, Help: help})
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "justrl_" + name, Help: help}, labels)
	}
	return figures{
		info:         gauges("run_info", "1, with what the run is.", "run", "model", "preset", "version"),
		step:         gauge("step", "Step under way, else the newest one recorded, counted from 0 as in steps.jsonl."),
		planned:      gauge("steps_planned", "Steps that the run is to do."),
		stepsDone:    counter("steps_total", "Steps recorded."),
		inPhase:      gauges("phase", "1 for the stage that the run is in, 0 for the others.", "phase"),
		phaseStart:   gauge("phase_start_timestamp_seconds", "When the stage began, in seconds since 1970."),
		phaseSeconds: counters("phase_seconds_total", "Time spent in each stage since the process began.", "phase"),
		stepEnd:      gauge("step_end_timestamp_seconds", "When the newest step was recorded, in seconds since 1970."),
		stepSeconds:  gauges("step_seconds", "Time that the newest step took, whole and by stage.", "phase"),
		reward:       gauge("reward_mean", "Mean reward over the rollouts of the newest step."),
		correct:      gauge("correct_ratio", "Share of the newest step's rollouts that the verifier accepted, 0 to 1."),
		length:       gauge("response_tokens_mean", "Mean length of the newest step's answers in tokens."),
		clipped:      gauge("response_clipped_ratio", "Share of the newest step's answers cut off at sampling.max_tokens, 0 to 1."),
		entropy:      gauge("entropy_nats", "Mean entropy of the policy over the newest step's tokens."),
		rate:         gauge("tokens_per_second", "Prompt and response tokens that the newest step trained on, a second of the whole step."),
		accuracy:     gauges("validation_accuracy_ratio", "Share of right answers on a held-out set, 0 to 1, sampled as validation.temperature says or as in training.", "set", "sampling"),
		figure:       gauges("step_metric", "Figures of the newest step by their names in steps.jsonl.", "name"),

		tokens:         counter("tokens_total", "Prompt and response tokens trained on in the recorded steps."),
		rollouts:       counter("rollouts_total", "Answers, of training and validation, that came since the process began."),
		rolloutTokens:  counter("rollout_tokens_total", "Tokens of those answers."),
		verifierErrors: counter("verifier_errors_total", "Answers that the verifier failed on since the process began."),
		serverEvents:   counters("server_events_total", "Times that a server was fenced or rejoined since the process began.", "event"),
		events:         counters("events_total", "Failure signatures since the process began, with what was done.", "signature", "action"),
	}
}

func (f *figures) all() []prometheus.Collector {
	return []prometheus.Collector{
		f.info, f.step, f.planned, f.stepsDone, f.inPhase, f.phaseStart, f.phaseSeconds, f.stepEnd, f.stepSeconds,
		f.reward, f.correct, f.length, f.clipped, f.entropy, f.rate, f.accuracy, f.figure,
		f.tokens, f.rollouts, f.rolloutTokens, f.verifierErrors, f.serverEvents, f.events,
	}
}

// serverCollector asks how the servers are whenever Prometheus does.
type serverCollector struct{ ask func() []Server }

var (
	serversDesc  = prometheus.NewDesc("justrl_servers", "Servers by state: admitted ones are sampled from, fenced ones are out.", []string{"state"}, nil)
	upDesc       = prometheus.NewDesc("justrl_server_admitted", "1 for a server that is sampled from, 0 for one that is out.", []string{"server"}, nil)
	inFlightDesc = prometheus.NewDesc("justrl_server_samples_in_flight", "Samples that are asked of a server and not answered.", []string{"server"}, nil)
	versionDesc  = prometheus.NewDesc("justrl_server_weights_version", "Version of the weights that a server serves.", []string{"server"}, nil)
	tokensDesc   = prometheus.NewDesc("justrl_server_tokens_total", "Tokens that a server gave since the process began.", []string{"server"}, nil)
)

// Describe implements prometheus.Collector.
func (c *serverCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{serversDesc, upDesc, inFlightDesc, versionDesc, tokensDesc} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c *serverCollector) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	fenced, all := 0.0, c.ask()
	for _, s := range all {
		admitted := 1.0
		if s.Fenced {
			admitted = 0
			fenced++
		}
		gauge(upDesc, admitted, s.Name)
		gauge(inFlightDesc, float64(s.InFlight), s.Name)
		gauge(versionDesc, float64(s.Version), s.Name)
		to <- prometheus.MustNewConstMetric(tokensDesc, prometheus.CounterValue, float64(s.Tokens), s.Name)
	}
	gauge(serversDesc, float64(len(all))-fenced, "admitted")
	gauge(serversDesc, fenced, "fenced")
}
