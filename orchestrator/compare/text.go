package compare

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteText writes the tables at equal compute for a terminal.
func (c *Comparison) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintln(&b, c.title())
	for _, n := range c.Notes {
		fmt.Fprintln(&b, "note:", n)
	}
	for _, e := range c.Equals {
		fmt.Fprintf(&b, "\n%s\n", e.title())
		if e.Why != "" {
			fmt.Fprintln(&b, e.Why)
			continue
		}
		t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		for _, row := range e.Rows {
			for i, cell := range row.Cells {
				name := ""
				if i == 0 {
					name = row.Measure
				}
				fmt.Fprintf(t, "%s\t%s\t%s\n", name, c.Recipes[i].Name, cell.words(row.measure))
			}
		}
		if err := t.Flush(); err != nil {
			return err
		}
		for _, row := range e.Rows {
			fmt.Fprintf(&b, "%s: %s\n", row.Measure, row.Verdict)
		}
	}
	_, err := io.WriteString(w, strings.ReplaceAll(b.String(), "\u00a0", " "))
	return err
}
