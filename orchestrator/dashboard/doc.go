// Package dashboard is the web server of a run: one set of routes, which is told
// by the run as it goes on and asked by browsers, Prometheus and the curious.
// Nothing that is asked of it can change the run.
//
// [Server] has the routes, [Page] those of the page for browsers: HTML, style and
// scripts of our own (assets), and what these ask for, as JSON.
package dashboard
