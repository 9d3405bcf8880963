package webpage

import (
	"strings"
	"testing"

	"github.com/justrl/justrl/internal/chart"
)

// Every class that a drawing can have has a colour in the style sheet.
func TestStyleSheetKnowsTheInks(t *testing.T) {
	classes := chart.Classes()
	if len(classes) < 20 {
		t.Errorf("only %d classes", len(classes))
	}
	for _, class := range classes {
		if !strings.Contains(StyleSheet, "."+class+" {") {
			t.Errorf("the style sheet has no .%s", class)
		}
	}
}

// Nothing in the style sheet asks for anything.
func TestStyleSheetIsAlone(t *testing.T) {
	for _, bad := range []string{"url(", "@import", "http:", "https:"} {
		if strings.Contains(StyleSheet, bad) {
			t.Errorf("the style sheet has %s", bad)
		}
	}
}

// The digest of a text that is known: printf 'a' | openssl dgst -sha256 -binary | base64.
func TestPolicy(t *testing.T) {
	want := "default-src 'none'; style-src 'sha256-ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs='; base-uri 'none'; form-action 'none'"
	if got := Policy("a"); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
