package cli

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/sampler/openaitest"
	"github.com/justrl/justrl/sampler/sglang/sglangtest"
)

// What a server that is out went through must not keep it out: the run waits
// for it in the middle of step 1, and it comes back.
func TestServersComeBack(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault func(*openaitest.Server)
	}{
		// The load that is to bring it back leaves it paused, as there is nothing to put back.
		{"a load fails that was to bring it back", func(s *openaitest.Server) {
			s.Inject(openaitest.Fault{Kind: openaitest.FaultEnd})
			s.Inject(openaitest.Fault{Path: "/collective_rpc", Status: 500, Times: 2})
		}},
		{"and that answer is lost", func(s *openaitest.Server) {
			s.Inject(openaitest.Fault{Kind: openaitest.FaultEnd})
			s.Inject(openaitest.Fault{Path: "/collective_rpc", Kind: openaitest.FaultClose, Times: 2})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := against(t, 2, honest())
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			back := make(chan struct{})
			fenced := make(chan struct{})
			b.told = func(e journal.ServerEvent) {
				switch {
				case e.Server != b.first().URL:
					t.Errorf("%+v", e)
				case e.Event == journal.ServerFenced:
					close(fenced)
				case e.Event == journal.ServerRejoined:
					close(back)
				}
			}
			err := b.train(t, honest(), func(step int, phase string) {
				switch {
				case step != 1:
				case phase == "sample":
					c.fault(b.first())
				case phase == "update":
					select {
					case <-fenced:
					default:
						t.Error("it was never fenced: the test tests nothing")
						return
					}
					select {
					case <-back:
					case <-ctx.Done():
						t.Error("it never came back")
					}
				}
			})
			if err != nil {
				t.Errorf("%v", err)
			}
			if t.Failed() {
				t.Log(b.said)
			}
			if n := strings.Count(b.said, " is not back yet"); n == 0 {
				t.Errorf("nothing was said of the load that failed:\n%s", b.said)
			}
		})
	}
}

// One that was restarted in the middle of a load with other settings is asked what
// they are, as any other that comes back.
func TestWhoComesBackOtherwiseStaysOut(t *testing.T) {
	b := against(t, 2, honest())
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	said, back := make(chan string, 100), make(chan struct{})
	b.told = func(e journal.ServerEvent) {
		if e.Event == journal.ServerRejoined {
			close(back)
		}
	}
	b.still = func(_ string, err error) { said <- err.Error() }
	err := b.train(t, honest(), func(step int, phase string) {
		switch {
		case step == 0 && phase == "publish":
			b.first().Inject(openaitest.Fault{Path: "/collective_rpc", Kind: openaitest.FaultClose})
			b.first().Set(func(o *openaitest.Options) { o.IgnoreTemperature = true })
		case step == 1 && phase == "update":
			select {
			case words := <-said:
				if !strings.Contains(words, b.first().URL+": ignores the temperature") {
					t.Errorf("it is out, as %s", words)
				}
			case <-back:
				t.Error("it came back, and ignores the temperature")
			case <-ctx.Done():
				t.Error("it was never asked")
			}
		}
	})
	if err != nil {
		t.Error(err)
	}
}

// The only server is restarted, and back, while the trainer is at work: what it
// sampled was proved, and it is loaded and proved again as any other.
func TestTheOnlyOneIsRestartedDuringAnUpdate(t *testing.T) {
	b := against(t, 1, honest())
	b.cfg.Sampling.Patience = config.Duration(30 * time.Second)
	var events []string
	b.told = func(e journal.ServerEvent) { events = append(events, e.Event) }
	err := b.train(t, honest(), func(step int, phase string) {
		if step == 1 && phase == "update" {
			b.load(t, "version-000001")
			e, err := endpoint.New(b.first().URL, endpoint.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			if err := e.Do(t.Context(), http.MethodPost, "/update_weight_version", map[string]string{"new_version": "default"}, nil); err != nil {
				t.Fatal(err)
			}
		}
	})
	if err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{journal.ServerFenced, journal.ServerRejoined}, events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// An SGLang names the weights of every answer: one that was restarted, and is
// asked before anybody has looked, is out with its first answer.
func TestAnAnswerOfOtherWeightsIsRefused(t *testing.T) {
	b := against(t, 0, honest())
	s := sglangtest.New(t, sglangtest.Options{Policy: honest(), Original: true})
	b.cfg.Server, b.cfg.Sampling.Patience = []string{s.URL}, config.Duration(30*time.Second)
	var events []journal.ServerEvent
	b.told = func(e journal.ServerEvent) { events = append(events, e) }
	err := b.train(t, honest(), func(step int, phase string) {
		if step != 1 || phase != "sample" {
			return
		}
		e, err := endpoint.New(s.URL, endpoint.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		was := map[string]any{"model_path": filepath.Join(b.out, "snapshots", "version-000001"), "weight_version": "default", "flush_cache": true}
		if err := e.Do(t.Context(), http.MethodPost, "/update_weights_from_disk", was, nil); err != nil {
			t.Fatal(err)
		}
	})
	if err != nil {
		t.Error(err)
	}
	if len(events) != 2 || events[1].Event != journal.ServerRejoined || !strings.Contains(events[0].Reason, `it is of weights "default", asked for version 2 ("run-2")`) {
		t.Errorf("events %+v", events)
	}
}
