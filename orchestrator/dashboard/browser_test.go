//go:build browser

package dashboard

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/justrl/justrl/internal/webpage/webpagetest"
	"github.com/justrl/justrl/orchestrator/journal"
)

// going puts a page in the middle of sampling.
func going(p *Page, step int) {
	p.Phase(step, "sample")
	for range 817 {
		p.Rollout(4100)
	}
}

// clean fails where the browser said anything, or asked elsewhere.
func clean(t *testing.T, tab *webpagetest.Tab, own string) {
	t.Helper()
	for _, m := range tab.Messages() {
		t.Errorf("the browser said: %s", m)
	}
	for _, f := range tab.Foreign(own) {
		t.Errorf("asked for %s", f)
	}
}

// The page on a desk and on a phone, by day and by night: it fits, all of it has
// contrast, axe-core finds nothing, and a model's answers are text.
func TestBrowserLooks(t *testing.T) {
	dir := t.TempDir()
	fixture(t, dir, 213, 400)
	p, s := looked(dir, 213, 400, "")
	going(p, 213)
	url, stop := serveAt(t, "127.0.0.1:0", s)
	defer stop()
	browser := webpagetest.Browser(t)
	for _, width := range []int{390, 1280} {
		for _, scheme := range []string{"light", "dark"} {
			t.Run(fmt.Sprintf("%s %d", scheme, width), func(t *testing.T) {
				tab := webpagetest.Open(t, browser, width, scheme)
				tab.Go(url)
				tab.Wait(`document.body.dataset.steps === '213'`)
				webpagetest.Eval[bool](tab, `document.getElementById('heldout-show').click(), document.getElementById('answers-newest').click(), true`)
				tab.Wait(`document.querySelectorAll('#answers-list .answer').length === 4 && document.querySelectorAll('#heldout .example').length > 0`)
				// Charts are drawn where they are seen: all of them are for a while.
				webpagetest.Eval[bool](tab, `document.querySelectorAll('figure').forEach(f => f.scrollIntoView()), true`)
				for _, id := range webpagetest.Eval[[]string](tab, `[...document.querySelectorAll('figure:not([hidden])')].map(f => f.id)`) {
					webpagetest.Eval[bool](tab, `document.getElementById('`+id+`').scrollIntoView({block: 'center'}), true`)
					tab.Wait(`document.querySelector('#` + id + ` path.line, #` + id + ` path[class^=fill-layer]') !== null`)
				}
				webpagetest.Eval[bool](tab, `scrollTo(0, 0), true`)
				tab.Screenshot(fmt.Sprintf("page-%s-%d.png", scheme, width))
				tab.Measure(12)
				tab.Axe()
				if title := webpagetest.Eval[string](tab, `document.title`); strings.Contains(title, "taken") {
					t.Errorf("an answer became HTML: %s", title)
				}
				if n := webpagetest.Eval[int](tab, `document.querySelectorAll('main img, main script, .answer b, .events b').length`); n != 0 {
					t.Errorf("%d elements of answers", n)
				}
				if text := webpagetest.Eval[string](tab, `document.querySelector('#answers-list').innerText + document.querySelector('#events-list').innerText`); strings.Count(text, "<script>") != 2 {
					t.Errorf("an answer is not shown as it is: %s", text)
				}
				clean(t, tab, url)
			})
		}
	}
}

// What the run does is seen as it happens, without a reload.
func TestBrowserLive(t *testing.T) {
	dir := t.TempDir()
	fixture(t, dir, 3, 9)
	p, s := looked(dir, 3, 9, "")
	url, stop := serveAt(t, "127.0.0.1:0", s)
	defer stop()
	tab := webpagetest.Open(t, webpagetest.Browser(t), 1280, "light")
	tab.Go(url)
	tab.Wait(`document.body.dataset.steps === '3'`)
	p.Phase(3, "sample")
	p.Rollout(1000)
	tab.Wait(`document.getElementById('progress-text').textContent.includes('1 of 2,048 rollouts')`)
	tab.Wait(`document.getElementById('status-text').textContent === 'Step 4 of 9: sampling answers'`)
	p.Phase(3, "update")
	tab.Wait(`document.querySelector('.stages .now').textContent.includes('Updating the weights')`)
	appendSteps(t, dir, 3, 4, 9)
	p.StepDone(fixtureStep(3, 9), 9)
	tab.Wait(`document.body.dataset.steps === '4'`)
	tab.Wait(`document.querySelector('#steps-table tbody th').textContent === '4'`)
	tab.Wait(`document.querySelector('#figure-reward .box').getAttribute('aria-valuemax') === '4'`)
	appendLines(t, journal.ValidationsPath(dir), journal.Validation{Steps: 4, Accuracy: map[string]float64{"AIME24": 0.875, "AMC23": 0.5}})
	tab.Wait(`document.getElementById('validation-table').textContent.includes('87.5')`)
	p.Ended("Finished: 9 steps")
	tab.Wait(`document.getElementById('status').className === 'status ended'`)
	clean(t, tab, url)
}

// serveAt serves on an address, which a browser knows from before; stop ends it.
func serveAt(t *testing.T, address string, h http.Handler) (url string, stop func()) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	server := httptest.NewUnstartedServer(h)
	_ = server.Listener.Close()
	server.Listener = l
	server.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	server.Start()
	return server.URL, func() {
		cancel()
		server.CloseClientConnections()
		server.Close()
	}
}

// rewind drops a run's steps after the first so many, as --resume does.
func rewind(dir string, steps int) error {
	b, err := os.ReadFile(journal.StepsPath(dir))
	if err != nil {
		return err
	}
	lines := bytes.SplitAfter(b, []byte("\n"))
	return os.WriteFile(journal.StepsPath(dir), bytes.Join(lines[:steps], nil), 0o644)
}

// After a restart of the run, from a checkpoint and so with fewer steps, the page
// shows what there is, each step once; after an interruption of the network too.
func TestBrowserReconnects(t *testing.T) {
	dir := t.TempDir()
	fixture(t, dir, 6, 9)
	p, s := looked(dir, 6, 9, "")
	going(p, 6)
	url, stop := serveAt(t, "127.0.0.1:0", s)
	tab := webpagetest.Open(t, webpagetest.Browser(t), 1280, "light")
	tab.Go(url)
	tab.Wait(`document.body.dataset.steps === '6'`)
	stop()
	tab.Wait(`document.body.dataset.connected === 'no' && document.getElementById('status').className === 'status lost'`)

	// The same process, two steps later: what was missed comes, and nothing twice.
	appendSteps(t, dir, 6, 8, 9)
	_, stop = serveAt(t, strings.TrimPrefix(url, "http://"), s)
	tab.Wait(`document.body.dataset.connected === 'yes' && document.body.dataset.steps === '8'`)
	before := webpagetest.Eval[string](tab, `document.body.dataset.instance`)
	stop()
	tab.Wait(`document.body.dataset.connected === 'no'`)

	// Another one, resumed after four steps, which has done one of its own.
	if err := rewind(dir, 4); err != nil {
		t.Fatal(err)
	}
	again, s := looked(dir, 4, 9, "")
	appendSteps(t, dir, 4, 5, 9)
	going(again, 5)
	_, stop = serveAt(t, strings.TrimPrefix(url, "http://"), s)
	defer stop()
	tab.Wait(`document.body.dataset.instance !== '` + before + `' && document.body.dataset.steps === '5'`)
	tab.Wait(`[...document.querySelectorAll('#steps-table tbody th')].map(e => e.textContent).join() === '5,4,3,2,1'`)
	tab.Wait(`document.getElementById('status').className === 'status going'`)
	for _, m := range webpagetest.Without(tab.Messages(), "ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE") {
		t.Errorf("the browser said: %s", m)
	}
}

// counting counts what is sent of bodies.
type counting struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (c counting) Write(b []byte) (int, error) {
	c.n.Add(int64(len(b)))
	return c.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (c counting) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// 5,000 steps, and then some more while it is looked at: little is
// transferred, and the page answers at once.
func TestBrowserLong(t *testing.T) {
	dir := t.TempDir()
	const steps, more, planned = 5000, 50, 6000
	fixture(t, dir, steps, planned)
	p, s := looked(dir, 0, planned, "")
	var sent atomic.Int64
	url, stop := serveAt(t, "127.0.0.1:0", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.ServeHTTP(counting{w, &sent}, r)
	}))
	defer stop()
	tab := webpagetest.Open(t, webpagetest.Browser(t), 1280, "light")
	tab.Go(url)
	tab.Wait(`document.body.dataset.steps === '5000'`)
	tab.Wait(`document.querySelector('#figure-reward path.line') !== null`)
	first := sent.Load()
	for i := range more {
		p.Phase(steps+i, "sample")
		appendSteps(t, dir, steps+i, steps+i+1, planned)
		p.StepDone(fixtureStep(steps+i, planned), planned)
	}
	tab.Wait(`document.body.dataset.steps === '5050'`)
	t.Logf("%d steps are %.2f MB, and %d more %.3f MB", steps, float64(first)/1e6, more, float64(sent.Load()-first)/1e6)
	if n := sent.Load(); first < 100_000 || n > 30_000_000 {
		t.Errorf("%d bytes were transferred", n)
	}
	// A key is answered within a frame or a few; and no curve has more points than can be seen.
	took := webpagetest.Eval[float64](tab, `new Promise(done => {
		const box = document.querySelector('#figure-reward .box'), began = performance.now();
		box.focus();
		box.dispatchEvent(new KeyboardEvent('keydown', { key: 'Home', bubbles: true }));
		requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - began)));
	})`)
	t.Logf("a key is answered in %.0f ms", took)
	if took > 1000 {
		t.Errorf("a key is answered in %.0f ms", took)
	}
	points := webpagetest.Eval[int](tab, `Math.max(...[...document.querySelectorAll('#figure-reward path')].map(p => p.getAttribute('d').split('L').length))`)
	if points < 300 || points > 4*1280 {
		t.Errorf("a curve of %d steps is drawn with %d points", steps+more, points)
	}
	tab.Screenshot("page-long.png")
	clean(t, tab, url)
}

// All can be reached and read by keys alone.
func TestBrowserKeys(t *testing.T) {
	dir := t.TempDir()
	fixture(t, dir, 30, 40)
	p, s := looked(dir, 30, 40, "")
	going(p, 30)
	url, stop := serveAt(t, "127.0.0.1:0", s)
	defer stop()
	tab := webpagetest.Open(t, webpagetest.Browser(t), 1280, "light")
	tab.Go(url)
	tab.Wait(`document.body.dataset.steps === '30' && document.querySelector('#figure-reward path.line') !== null`)
	at := func() string {
		return webpagetest.Eval[string](tab, `document.activeElement.id || document.activeElement.closest('figure, section')?.id || document.activeElement.className`)
	}
	var order []string
	for range 40 {
		tab.Key("\t")
		if order = append(order, at()); order[len(order)-1] == "answers-follow" {
			break
		}
	}
	for _, want := range []string{"skip", "axis", "figure-reward", "figure-heldout", "figure-throughput", "heldout-show", "answers-step", "answers-newest", "answers-follow"} {
		if !strings.Contains(" "+strings.Join(order, " ")+" ", " "+want+" ") {
			t.Errorf("%s is not reached by Tab: %v", want, order)
		}
	}
	webpagetest.Eval[bool](tab, `document.querySelector('#figure-reward .box').focus(), true`)
	text := `document.querySelector('#figure-reward .box').getAttribute('aria-valuetext')`
	tab.Key("\u0302") // left: the cursor comes, at the last step
	tab.Wait(text + `.startsWith('step 30: mean +0.')`)
	tab.Key("\u0302")
	tab.Wait(text + `.startsWith('step 29: ')`)
	tab.Wait(`document.querySelector('#figure-length .box').getAttribute('aria-valuetext').startsWith('step 29: ')`)
	webpagetest.Eval[bool](tab, `document.getElementById('axis').value = 'tokens', document.getElementById('axis').dispatchEvent(new Event('change')), true`)
	tab.Wait(`document.querySelector('#figure-reward svg').textContent.includes('tokens')`)
	clean(t, tab, url)
}

// Beyond loopback: the token is asked for, a wrong one is not taken, and the right one is asked once.
func TestBrowserToken(t *testing.T) {
	dir := t.TempDir()
	fixture(t, dir, 3, 9)
	_, s := looked(dir, 3, 9, secret)
	url, stop := serveAt(t, "127.0.0.1:0", s)
	defer stop()
	tab := webpagetest.Open(t, webpagetest.Browser(t), 390, "dark")
	tab.Go(url)
	tab.Wait(`document.activeElement.id === 'token'`)
	tab.Axe()
	tab.Screenshot("page-login.png")
	tab.Key("not the token at all\r")
	tab.Wait(`document.body.innerText.includes('That is not the token.')`)
	tab.Key(secret + "\r")
	tab.Wait(`document.body.dataset.steps === '3'`)
	tab.Go(url)
	tab.Wait(`document.body.dataset.steps === '3'`)
	if cookie := webpagetest.Eval[string](tab, `document.cookie`); cookie != "" {
		t.Errorf("a script can read the cookie %s", cookie)
	}
	for _, m := range webpagetest.Without(tab.Messages(), "401") {
		t.Errorf("the browser said: %s", m)
	}
}
