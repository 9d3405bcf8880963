package endpoint

import "net/http"

// Apart is the same server with connections of its own, for calls that must
// not wait for those of e: a pool that is full of long answers has no room for
// a pause or a probe, and what shares an HTTP/2 connection shares its windows.
// The caller closes it, beside e. Where e was given a Transport, it has the same.
func (e *Endpoint) Apart() *Endpoint {
	apart, client := *e, *e.client
	if pool, ok := client.Transport.(*http.Transport); ok {
		client.Transport = pool.Clone() // its settings, none of its connections
	}
	apart.client = &client
	return &apart
}
