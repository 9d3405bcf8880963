// Package webpagetest checks the HTML pages of reports: that nothing of the data
// became an element ([WellFormed]), and, under the build tag browser, what
// Chromium makes of them.
package webpagetest
