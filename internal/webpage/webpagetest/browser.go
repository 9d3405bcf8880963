//go:build browser

package webpagetest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browser starts a Chromium for the test; scripts/need-chromium installs one.
func browser(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox)
	if path := os.Getenv("CHROMIUM"); path != "" {
		options = append(options, chromedp.ExecPath(path))
	}
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start Chromium (scripts/need-chromium installs it): %v", err)
	}
	return ctx
}

// seen is what a page told the browser while it was loaded.
type seen struct {
	mu       sync.Mutex
	messages []string // console and log entries, exceptions
	requests []string // addresses that were asked for
}

// watch listens to a tab that nothing has been loaded into yet.
func watch(ctx context.Context) (*seen, error) {
	s := &seen{}
	err := errors.Join(chromedp.Do(ctx), chromedp.Listen(ctx, func(event any) {
		s.mu.Lock()
		defer s.mu.Unlock()
		switch e := event.(type) {
		case *runtime.EventConsoleAPICalled:
			s.messages = append(s.messages, fmt.Sprintf("console %s", e.Type))
		case *runtime.EventExceptionThrown:
			s.messages = append(s.messages, e.ExceptionDetails.Text)
		case *log.EventEntryAdded:
			s.messages = append(s.messages, e.Entry.Text)
		case *network.EventRequestWillBeSent:
			s.requests = append(s.requests, e.Request.URL)
		}
	}))
	_, network := chromedp.Call(ctx, network.Enable, network.EnableParams{})
	_, log := chromedp.Call(ctx, log.Enable, cdp.Empty{})
	_, runtime := chromedp.Call(ctx, runtime.Enable, cdp.Empty{})
	return s, errors.Join(err, network, log, runtime)
}

// look is what the page's own measurements are, taken by measure.
type look struct {
	ScrollWidth, InnerWidth int
	Plots                   []struct{ Label, Box string }
	Seen, Hidden            int // plots that are shown, and not
	Contrasts               []struct {
		What  string
		Ratio float64
	}
	Paper    string
	Headings []int
	Outside  []string
}

// measure looks at the page as it is laid out. Contrast is WCAG's, of a text's
// colour on the first background below it that is opaque.
const measure = `(() => {
	document.querySelectorAll('details').forEach(d => d.open = true); // what is folded up counts too
	const rgb = c => (c.match(/[\d.]+/g) || []).map(Number);
	const light = c => { const [r, g, b] = rgb(c).map(v => { v /= 255; return v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4 }); return .2126 * r + .7152 * g + .0722 * b };
	const ground = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor, p = rgb(c); if (p.length === 3 || p[3] === 1) return c } return 'rgb(255, 255, 255)' };
	const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + .05) / (y + .05) };
	const out = { ScrollWidth: document.documentElement.scrollWidth, InnerWidth: innerWidth, Plots: [], Seen: 0, Hidden: 0, Contrasts: [], Headings: [], Outside: [], Paper: getComputedStyle(document.body).backgroundColor };
	for (const p of document.querySelectorAll('svg')) {
		const r = p.getBoundingClientRect();
		if (getComputedStyle(p).display === 'none') { out.Hidden++; continue }
		out.Seen++;
		if (r.width < 200 || r.height < 100 || !p.querySelector('path')) out.Plots.push({ Label: p.getAttribute('aria-label') || '', Box: r.width + '×' + r.height });
	}
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), done = new Set();
	while (walk.nextNode()) {
		const e = walk.currentNode.parentElement;
		if (!walk.currentNode.data.trim() || !e.checkVisibility()) continue;
		const s = getComputedStyle(e), colour = e.closest('svg') ? s.fill : s.color, key = colour + ground(e);
		if (done.has(key)) continue;
		done.add(key);
		out.Contrasts.push({ What: e.tagName + '.' + (e.getAttribute('class') || '') + ' ' + colour + ' on ' + ground(e), Ratio: ratio(colour, ground(e)) });
	}
	for (const h of document.querySelectorAll('h1,h2,h3,h4')) out.Headings.push(Number(h.tagName[1]));
	for (const e of document.querySelectorAll('body *')) {
		if (e.closest('svg, .scroll') && !e.matches('svg, .scroll')) continue;
		const r = e.getBoundingClientRect();
		if (r.width > 0 && (r.right > innerWidth + 1 || r.left < -1)) out.Outside.push(e.tagName + '.' + (e.getAttribute('class') || ''));
	}
	return out;
})()`

// Page is what is looked at.
type Page struct {
	File        string
	Screenshots string // the beginning of their names
	Plots       int    // that it shows, at least
	Twice       bool   // some are drawn for two widths
}

// Look opens a page from its file as a reader has it, on a phone and on a desk,
// by day and by night: it must fit the window, ask for nothing, say nothing on
// the console, and all its text must have contrast.
//
// Where REPORT_SCREENSHOTS names a folder, images of the pages go there.
func Look(t *testing.T, p Page) {
	t.Helper()
	address := (&url.URL{Scheme: "file", Path: p.File}).String()
	papers := map[string]string{}
	ctx := browser(t)
	for _, width := range []int{360, 768, 1280} {
		for _, scheme := range []string{"light", "dark"} {
			t.Run(fmt.Sprintf("%s %d", scheme, width), func(t *testing.T) {
				tab, cancel := chromedp.NewContext(ctx)
				defer cancel()
				said, err := watch(tab)
				if err == nil {
					_, err = chromedp.Call(tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
						Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
					})
				}
				if err == nil {
					err = chromedp.Do(tab, chromedp.EmulateViewport(int64(width), 800), chromedp.Navigate(address))
				}
				if err == nil {
					err = screenshot(tab, fmt.Sprintf("%s-%s-%d.png", p.Screenshots, scheme, width))
				}
				if err != nil {
					t.Fatal(err)
				}
				l, err := chromedp.Run(tab, chromedp.Evaluate[look](measure))
				if err == nil { // once more, with all unfolded
					err = screenshot(tab, fmt.Sprintf("%s-open-%s-%d.png", p.Screenshots, scheme, width))
				}
				if err != nil {
					t.Fatal(err)
				}
				papers[scheme] = l.Paper
				said.check(t, address)
				l.check(t, p)
			})
		}
	}
	if papers["light"] == papers["dark"] {
		t.Errorf("the paper is %s by day and by night", papers["light"])
	}
}

// screenshot writes the page as an image into the folder that REPORT_SCREENSHOTS
// names, for who wants to look at it.
func screenshot(tab context.Context, name string) error {
	folder := os.Getenv("REPORT_SCREENSHOTS")
	if folder == "" {
		return nil
	}
	png, err := chromedp.Run(tab, chromedp.FullScreenshot(100))
	if err != nil { // a page can be too long for one image
		png, err = chromedp.Run(tab, chromedp.CaptureScreenshot())
	}
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, name), png, 0o644)
}

func (s *seen) check(t *testing.T, address string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.messages {
		t.Errorf("the browser said: %s", m)
	}
	if len(s.requests) != 1 || s.requests[0] != address {
		t.Errorf("asked for %q, want the file alone", s.requests)
	}
}

func (l look) check(t *testing.T, p Page) {
	t.Helper()
	if l.ScrollWidth > l.InnerWidth {
		t.Errorf("the page is %d wide in a window of %d; beyond it: %v", l.ScrollWidth, l.InnerWidth, l.Outside)
	}
	for _, o := range l.Outside {
		t.Errorf("%s goes beyond the window", o)
	}
	if l.Seen < p.Plots || p.Twice && l.Hidden == 0 {
		t.Errorf("%d plots are shown and %d are for another width", l.Seen, l.Hidden)
	}
	for _, p := range l.Plots {
		t.Errorf("a plot of %s: %s", p.Box, p.Label)
	}
	if len(l.Contrasts) < 4 {
		t.Errorf("only %d colours of text were looked at", len(l.Contrasts))
	}
	for _, c := range l.Contrasts {
		if c.Ratio < 4.5 {
			t.Errorf("contrast of %s is %.2f, want 4.5", c.What, c.Ratio)
		}
	}
	before := 0
	for _, h := range l.Headings {
		if h > before+1 {
			t.Errorf("a heading of level %d follows one of level %d", h, before)
		}
		before = h
	}
	if len(l.Headings) == 0 || l.Headings[0] != 1 {
		t.Errorf("headings: %v", l.Headings)
	}
}
