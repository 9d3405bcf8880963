package compare

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteText writes the tables, at equal compute and at the ends of the runs, for a terminal.
func (c *Comparison) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintln(&b, c.title())
	for _, n := range c.Notes {
		fmt.Fprintln(&b, "note:", n)
	}
	for _, e := range c.Equals {
		if err := c.equalView(e).text(&b); err != nil {
			return err
		}
	}
	if ends := c.endsView(); len(ends.Rows) > 0 {
		if err := ends.text(&b); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, strings.ReplaceAll(b.String(), "\u00a0", " "))
	return err
}

func (v tableView) text(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(t, "\n%s\n", v.Title) // Flush tells
	if len(v.Rows) == 0 {
		_, _ = fmt.Fprintln(t, v.About)
	}
	for _, row := range v.Rows {
		for i, cell := range row.Cells {
			name := ""
			if i == 0 {
				name = row.Measure
			}
			_, _ = fmt.Fprintf(t, "%s\t%s\t%s\n", name, v.Columns[i], cell)
		}
	}
	for _, row := range v.Rows {
		for _, said := range row.Said {
			_, _ = fmt.Fprintf(t, "%s: %s\n", row.Measure, said.Text)
		}
	}
	return t.Flush()
}
