// Package chart draws diagrams as SVG elements for the HTML pages of reports:
// curves over an axis ([Figure]), and values with their ranges in rows ([Rows]).
//
// A drawing has no colours and no fonts of its own. Its marks have classes
// ([Ink]) that the pages' style sheet (package webpage) gives colours, in light
// and in dark, and it carries in words what it shows, for those who do not see it.
// Nothing that comes from data gets into a page unescaped.
package chart
