package report

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/internal/webpage"
	"github.com/justrl/justrl/internal/webpage/webpagetest"
	"github.com/justrl/justrl/orchestrator/journal"
)

func TestServerRows(t *testing.T) {
	a, b := "http://a", "http://b"
	fenced := journal.ServerEvent{Server: a, Event: journal.ServerFenced, Reason: "gone"}
	back := journal.ServerEvent{Server: a, Event: journal.ServerRejoined, Version: 2}
	for _, tc := range []struct {
		name  string
		named []string // in run.json
		steps []journal.Step
		want  []serverRow
	}{
		{"one, and nothing happened", []string{a}, []journal.Step{{Servers: []journal.ServerPart{{Server: a, Rollouts: 4, Tokens: 40, Seconds: 2}}}}, nil},
		{"one that was out for a while", []string{a}, []journal.Step{
			{Servers: []journal.ServerPart{{Server: a, Rollouts: 4, Tokens: 40, Seconds: 2, Retries: 3}}, ServerEvents: []journal.ServerEvent{fenced, back, fenced}},
			{Servers: []journal.ServerPart{{Server: a, Rollouts: 4, Tokens: 2000, Seconds: 60}}, ServerEvents: []journal.ServerEvent{back}},
		}, []serverRow{{a, []string{"8", "2,040", "1\u00a0min 2\u00a0s", "33", "3", "0", "2", "2"}}}},
		{"two, one of which gave nothing", []string{b, a}, []journal.Step{
			{Servers: []journal.ServerPart{{Server: a, Rollouts: 8, Tokens: 80, Seconds: 8, Stragglers: 2}}},
		}, []serverRow{{b, []string{"0", "0", "–", "–", "0", "0", "0", "0"}}, {a, []string{"8", "80", "8.0\u00a0s", "10", "0", "2", "0", "0"}}}},
		{"a run that did not say how long", nil, []journal.Step{{Servers: []journal.ServerPart{{Server: a, Rollouts: 1, Tokens: 9}, {Server: b, Rollouts: 2, Tokens: 8}}}},
			[]serverRow{{a, []string{"1", "9", "–", "–", "0", "0", "0", "0"}}, {b, []string{"2", "8", "–", "–", "0", "0", "0", "0"}}}},
		{"a straggler of one", []string{a}, []journal.Step{{
			Servers: []journal.ServerPart{{Server: a, Rollouts: 1, Tokens: 9, Seconds: 3, Stragglers: 1}}, ServerEvents: []journal.ServerEvent{{Server: a, Event: journal.ServerStraggles}},
		}}, []serverRow{{a, []string{"1", "9", "3.0\u00a0s", "3", "0", "1", "0", "0"}}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			fixture(t, dir)
			info := fixtureInfo()
			info.Servers = tc.named
			write(t, dir, "run.json", indented(t, info))
			write(t, dir, "steps.jsonl", lines(t, tc.steps))
			r, err := read(dir)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, r.serverRows(), cmp.AllowUnexported(serverRow{})); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			page := pageOf(t, dir)
			if has := strings.Contains(page, `<h2 id="servers">`); has != (tc.want != nil) {
				t.Errorf("the page has a table of servers: %v", has)
			}
			webpagetest.WellFormed(t, page, webpage.StyleSheet, nil)
		})
	}
}

// Names of servers are shown as text, and what is no list of servers is as good as missing.
func TestHostileServers(t *testing.T) {
	dir := t.TempDir()
	fixture(t, dir)
	steps := fixtureSteps(2)
	for _, a := range attacks {
		steps[0].Servers = append(steps[0].Servers, journal.ServerPart{Server: a, Rollouts: 1, Tokens: 1})
		steps[0].ServerEvents = append(steps[0].ServerEvents, journal.ServerEvent{Server: a, Event: a, Reason: a})
	}
	odd := []byte(`{"step":1,"perf/servers":{"server":7},"perf/server_events":[{"server":[]}]}` + "\n")
	write(t, dir, "steps.jsonl", slices.Concat(lines(t, steps[:1]), odd))
	page := pageOf(t, dir)
	webpagetest.WellFormed(t, page, webpage.StyleSheet, nil)
	if !strings.Contains(page, `<th scope="row">&lt;script&gt;alert(1)&lt;/script&gt;</th>`) {
		t.Error("a server is not shown as text")
	}
}
