//go:build browser

package dashboard

import (
	"os"
	"strings"
	"testing"

	"github.com/justrl/justrl/internal/webpage/webpagetest"
	"github.com/justrl/justrl/orchestrator/journal"
)

// Texts that are no words, names that are HTML, and files that are damaged: the
// page fits its window, says what it cannot show, and shows it as soon as it can.
func TestBrowserHostileRun(t *testing.T) {
	dir := t.TempDir()
	fixture(t, dir, 30, 40)
	const image = `<img src=x onerror="document.title='taken'">`
	appendLines(t, journal.ValidationsPath(dir), journal.Validation{Steps: 30, Accuracy: map[string]float64{image: 0.5, strings.Repeat("set", 200): 0.25}})
	appendLines(t, journal.EventsPath(dir), journal.Event{Step: 29, Signature: image, Action: image, Message: strings.Repeat("x", 5000), Evidence: map[string]float64{image: 1}})
	d, _, err := journal.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	text := strings.Repeat("0", 1000) + "\u202e\u0000\ufeff" + strings.Repeat("a\u0301\u0301\u0301\u0301", 50) + image
	if err := d.WriteRollouts(30, []journal.Rollout{{ProblemID: image, PromptTokenIDs: []int32{1}, TokenIDs: []int32{1}, Text: text, FinishReason: image, Reward: 1}}); err != nil {
		t.Fatal(err)
	}
	newest := journal.RolloutsPath(dir, 30)
	whole, err := os.ReadFile(newest)
	if err == nil {
		err = os.WriteFile(newest, whole[:len(whole)/2], 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	p, s := looked(dir, 30, 40, "")
	p.Info.Model, p.Info.ID = image+"/"+image, image
	going(p, 30)
	url, stop := serveAt(t, "127.0.0.1:0", s)
	defer stop()
	tab := webpagetest.Open(t, webpagetest.Browser(t), 390, "light")
	tab.Go(url)
	tab.Wait(`document.body.dataset.steps === '30' && document.querySelectorAll('.events li').length === 3`)
	webpagetest.Eval[bool](tab, `document.getElementById('answers-newest').click(), true`)
	tab.Wait(`!document.getElementById('fault').hidden && document.getElementById('fault').textContent.includes('step-000030.parquet')`)
	tab.Wait(`document.getElementById('answers-about').textContent.startsWith('They could not be shown')`)
	tab.Axe()
	tab.Screenshot("page-fault.png")
	if err := os.WriteFile(newest, whole, 0o644); err != nil {
		t.Fatal(err)
	}
	webpagetest.Eval[bool](tab, `document.getElementById('answers-newest').click(), true`)
	tab.Wait(`document.getElementById('fault').hidden && document.querySelector('#answers-list .answer').textContent.includes('onerror')`)
	webpagetest.Eval[bool](tab, `scrollTo(0, 0), true`)
	tab.Screenshot("page-hostile.png")
	tab.Axe()
	if o := webpagetest.Eval[[]string](tab, `[...document.querySelectorAll('body *')].filter(e => !e.closest('svg, .scroll') || e.matches('.scroll')).filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.tagName + '.' + e.className)`); len(o) > 0 {
		t.Errorf("beyond the window: %v", o)
	}
	if n := webpagetest.Eval[int](tab, `document.querySelectorAll('img, main script').length`); n != 0 || webpagetest.Eval[string](tab, `document.title`) == "taken" {
		t.Errorf("a name became HTML: %d elements", n)
	}
	for _, m := range webpagetest.Without(tab.Messages(), "500 (Internal Server Error)") {
		t.Errorf("the browser said: %s", m)
	}

	// A step that is torn in the file is said too, and healed by the run that goes on.
	steps := journal.StepsPath(dir)
	before, err := os.ReadFile(steps)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(steps, append(before, "{torn}\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	tab.Wait(`document.getElementById('fault').textContent.includes('steps.jsonl:31')`)
	if err := os.WriteFile(steps, before, 0o644); err != nil {
		t.Fatal(err)
	}
	appendSteps(t, dir, 30, 31, 40)
	tab.Wait(`document.body.dataset.steps === '31' && document.getElementById('fault').hidden`)
}

// Who comes when as many follow as may, and who is not looked at, leaves the stream
// to others and learns of the run nevertheless.
func TestBrowserCrowded(t *testing.T) {
	dir := t.TempDir()
	fixture(t, dir, 3, 9)
	p, s := looked(dir, 3, 9, "")
	url, stop := serveAt(t, "127.0.0.1:0", s)
	defer stop()
	var others []chan struct{}
	for range mostClients {
		c, err := p.join()
		if err != nil {
			t.Fatal(err)
		}
		others = append(others, c)
	}
	tab := webpagetest.Open(t, webpagetest.Browser(t), 1280, "light")
	tab.Go(url)
	tab.Wait(`document.body.dataset.connected === 'yes' && document.body.dataset.steps === '3'`)
	p.Phase(3, "sample")
	tab.Wait(`document.getElementById('status-text').textContent === 'Step 4 of 9: sampling answers'`)
	for _, m := range webpagetest.Without(tab.Messages(), "503 (Service Unavailable)") {
		t.Errorf("the browser said: %s", m)
	}
	for _, c := range others {
		p.leave(c)
	}
	follows := func(n int) {
		t.Helper()
		tab.Wait(`document.body.dataset.connected === 'yes'`)
		for {
			p.mu.Lock()
			have := len(p.clients)
			p.mu.Unlock()
			if have == n {
				return
			}
			webpagetest.Eval[bool](tab, `new Promise(done => setTimeout(() => done(true), 100))`)
		}
	}
	follows(1)
	hide := func(hidden string) {
		webpagetest.Eval[bool](tab, `Object.defineProperty(document, 'hidden', { value: `+hidden+`, configurable: true }), document.dispatchEvent(new Event('visibilitychange')), true`)
	}
	hide("true")
	follows(0)
	p.Phase(3, "update")
	tab.Wait(`document.getElementById('status-text').textContent === 'Step 4 of 9: updating the weights'`)
	hide("false")
	follows(1)
}
