package metrics

import (
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/justrl/justrl/orchestrator"
	"github.com/justrl/justrl/orchestrator/journal"
)

var _ orchestrator.Observer = (*Metrics)(nil)

// Phases are the stages of a run, by the names that orchestrator.Observer has for them.
var Phases = []string{"sample", "update", "publish", "validate", "checkpoint", "paused"}

// Options are those of a run's metrics.
type Options struct {
	Run, Model, Preset, Version string // of justrl_run_info
	Steps                       int    // that the run is to do
	// Servers says how the servers are, as often as it is asked; nil without any.
	Servers func() []Server
	Now     func() time.Time // nil is time.Now
}

// Server is how one server is.
type Server struct {
	Name     string
	Fenced   bool
	InFlight int   // samples
	Tokens   int64 // that it gave since this process began
	Version  int64 // of the weights that it serves
}

// Metrics are those of one run. They are an orchestrator.Observer, safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry
	now      func() time.Time

	mu    sync.Mutex // of phase and began
	phase string
	began time.Time

	figures
}

// New makes the metrics of a run that has recorded the steps, validations and events.
func New(o Options, steps []journal.Step, validations []journal.Validation, events []journal.Event) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), now: o.Now, figures: newFigures()}
	if m.now == nil {
		m.now = time.Now
	}
	m.registry.MustRegister(m.all()...)
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.info.WithLabelValues(o.Run, o.Model, o.Preset, o.Version).Set(1)
	m.planned.Set(float64(o.Steps))
	if o.Servers != nil {
		m.registry.MustRegister(&serverCollector{o.Servers})
	}
	for _, phase := range Phases {
		m.inPhase.WithLabelValues(phase)
		m.phaseSeconds.WithLabelValues(phase)
	}
	for _, event := range []string{journal.ServerFenced, journal.ServerRejoined} {
		m.serverEvents.WithLabelValues(event)
	}
	for i, s := range steps {
		m.count(s)
		if i == len(steps)-1 {
			m.show(s)
		}
	}
	for _, v := range validations {
		for set, accuracy := range v.Accuracy {
			m.accuracy.WithLabelValues(set, "validation").Set(accuracy)
		}
		for set, share := range v.Sampled {
			m.accuracy.WithLabelValues(set, "training").Set(share)
		}
	}
	for _, e := range events {
		m.Event(e)
	}
	return m
}

// Handler answers in Prometheus' text format.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Phase implements orchestrator.Observer.
func (m *Metrics) Phase(step int, phase string) {
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.phase != "" {
		m.phaseSeconds.WithLabelValues(m.phase).Add(max(now.Sub(m.began).Seconds(), 0))
		m.inPhase.WithLabelValues(m.phase).Set(0)
	}
	m.phase, m.began = phase, now
	m.inPhase.WithLabelValues(phase).Set(1)
	m.phaseStart.Set(seconds(now))
	m.step.Set(float64(max(step, 0)))
}

// StepDone implements orchestrator.Observer.
func (m *Metrics) StepDone(s journal.Step, steps int) {
	m.planned.Set(float64(steps))
	m.count(s)
	m.show(s)
}

// Validated implements orchestrator.Observer.
func (m *Metrics) Validated(_ int, set string, accuracy float64, sampled *float64) {
	m.accuracy.WithLabelValues(set, "validation").Set(accuracy)
	if sampled != nil {
		m.accuracy.WithLabelValues(set, "training").Set(*sampled)
	}
}

// Rollout is told of every answer as it comes, with its tokens; err is that of the verifier.
func (m *Metrics) Rollout(tokens int, err error) {
	m.rollouts.Inc()
	m.rolloutTokens.Add(float64(tokens))
	if err != nil {
		m.verifierErrors.Inc()
	}
}

// ServerEvent is told of a server that left the run or came back.
func (m *Metrics) ServerEvent(e journal.ServerEvent) { m.serverEvents.WithLabelValues(e.Event).Inc() }

// Notice implements orchestrator.Observer.
func (m *Metrics) Notice(string, ...any) {}

// Event implements orchestrator.Observer.
func (m *Metrics) Event(e journal.Event) { m.events.WithLabelValues(e.Signature, e.Action).Inc() }

// count adds what a recorded step adds up to.
func (m *Metrics) count(s journal.Step) {
	m.tokens.Add(float64(s.Tokens))
	m.stepsDone.Inc()
}

// show makes a step the newest one.
func (m *Metrics) show(s journal.Step) {
	m.step.Set(float64(s.Step))
	if !s.Ended.IsZero() {
		m.stepEnd.Set(seconds(s.Ended))
	}
	m.reward.Set(s.ScoreMean)
	m.correct.Set(s.Correct)
	m.length.Set(s.ResponseMean)
	m.clipped.Set(s.ResponseClip)
	m.entropy.Set(s.Entropy)
	m.rate.Set(s.Rate)
	for phase, took := range map[string]float64{"sample": s.Sample, "update": s.Update, "publish": s.Publish, "total": s.Total} {
		m.stepSeconds.WithLabelValues(phase).Set(took)
	}
	m.figure.Reset() // a name that the newest step has not is not of it
	for _, one := range s.Scalars() {
		m.figure.WithLabelValues(one.Name).Set(one.Value)
	}
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1e3 }
