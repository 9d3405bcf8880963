// Package dashboard is the web server of a run: one set of routes, which is told
// by the run as it goes on and asked by browsers, Prometheus and the curious.
// Nothing that is asked of it can change the run.
package dashboard
