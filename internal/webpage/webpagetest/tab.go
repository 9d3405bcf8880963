//go:build browser

package webpagetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// Tab is a tab of a Chromium that looks at a live page.
type Tab struct {
	t    *testing.T
	ctx  context.Context
	said *seen
}

// Browser starts a Chromium for the test.
func Browser(t *testing.T) context.Context { return browser(t) }

// Open opens a tab of a window so wide, by day ("light") or by night ("dark").
func Open(t *testing.T, browser context.Context, width int, scheme string) *Tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	tab := &Tab{t: t, ctx: ctx}
	var err error
	if tab.said, err = watch(ctx); err == nil {
		_, err = chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
	}
	if err == nil {
		err = chromedp.Do(ctx, chromedp.EmulateViewport(int64(width), 900))
	}
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

// Go opens an address.
func (tab *Tab) Go(address string) {
	tab.t.Helper()
	if err := chromedp.Do(tab.ctx, chromedp.Navigate(address)); err != nil {
		tab.t.Fatalf("%s: %v", address, err)
	}
}

// Wait waits until an expression is true, for a minute, also of another page that
// the tab goes to meanwhile.
func (tab *Tab) Wait(expression string) {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, time.Minute)
	defer cancel()
	_, err := chromedp.Run(ctx, chromedp.Poll[bool](expression))
	for err != nil && (strings.Contains(err.Error(), "context") || strings.Contains(err.Error(), "navigated")) && ctx.Err() == nil {
		_, err = chromedp.Run(ctx, chromedp.Poll[bool](expression))
	}
	if err != nil {
		body, _ := chromedp.Run(tab.ctx, chromedp.Evaluate[string](`document.body.innerText.slice(0, 1500)`))
		tab.t.Fatalf("%s: never true: %v; the page says: %s", expression, err, body)
	}
}

// Eval is the value of an expression.
func Eval[T any](tab *Tab, expression string) T {
	tab.t.Helper()
	v, err := chromedp.Run(tab.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		tab.t.Fatalf("%.200s: %v", expression, err)
	}
	return v
}

// Key presses keys.
func (tab *Tab) Key(keys string) {
	tab.t.Helper()
	if err := chromedp.Do(tab.ctx, chromedp.KeyEvent(keys)); err != nil {
		tab.t.Fatal(err)
	}
}

// Screenshot writes the whole page as an image into the folder that
// REPORT_SCREENSHOTS names, if it names one.
func (tab *Tab) Screenshot(name string) {
	tab.t.Helper()
	if err := screenshot(tab.ctx, name); err != nil {
		tab.t.Fatal(err)
	}
}

// Messages are what the browser has said on its console since the last call.
func (tab *Tab) Messages() []string {
	tab.said.mu.Lock()
	defer tab.said.mu.Unlock()
	all := tab.said.messages
	tab.said.messages = nil
	return all
}

// Foreign are the addresses that were asked for and do not begin with the page's own.
func (tab *Tab) Foreign(own string) (all []string) {
	tab.said.mu.Lock()
	defer tab.said.mu.Unlock()
	for _, r := range tab.said.requests {
		if !strings.HasPrefix(r, own) {
			all = append(all, r)
		}
	}
	return all
}

// Measure looks at the page as it is laid out, as [Look] does: it must fit the
// window, and all its text must have contrast.
func (tab *Tab) Measure(plots int) {
	tab.t.Helper()
	Eval[look](tab, measure).check(tab.t, Page{Plots: plots})
}

// Axe has axe-core look at the page, whose every fault is an error.
func (tab *Tab) Axe() {
	tab.t.Helper()
	script, err := os.ReadFile(axe(tab.t))
	if err != nil {
		tab.t.Fatal(err)
	}
	if _, err := chromedp.Run(tab.ctx, chromedp.Evaluate[json.RawMessage](string(script)+"; true")); err != nil {
		tab.t.Fatal(err)
	}
	faults := Eval[[]struct {
		ID, Impact, Help string
		Nodes            []string
	}](tab, `axe.run(document, { resultTypes: ['violations'] }).then(r => r.violations.map(v => ({ ID: v.id, Impact: v.impact, Help: v.help, Nodes: v.nodes.map(n => n.target.join(' ') + ': ' + n.failureSummary) })))`)
	for _, f := range faults {
		tab.t.Errorf("axe: %s (%s): %s\n%s", f.ID, f.Impact, f.Help, strings.Join(f.Nodes[:min(5, len(f.Nodes))], "\n"))
	}
	if n := Eval[int](tab, `axe.run(document).then(r => r.passes.length)`); n < 15 {
		tab.t.Errorf("axe looked at %d rules only", n)
	}
}

// axe is the path of axe-core's script.
func axe(t *testing.T) string {
	t.Helper()
	_, here, _, _ := goruntime.Caller(0)
	cmd := exec.CommandContext(t.Context(), filepath.Join(filepath.Dir(here), "../../../scripts/axe-core"))
	out, err := cmd.Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		t.Fatalf("scripts/axe-core: %s", failed.Stderr)
	}
	if err != nil {
		t.Fatal(fmt.Errorf("scripts/axe-core: %w", err))
	}
	return strings.TrimSpace(string(out))
}

// Without is a list without those that contain one of some texts.
func Without(list []string, texts ...string) []string {
	return slices.DeleteFunc(list, func(s string) bool {
		return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(s, text) })
	})
}
