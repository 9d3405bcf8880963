// Package share lets servers that share no disk with the trainer have its
// snapshots, over HTTP:
//
//	GET /v1/snapshots/VERSION        the [Manifest], in JSON
//	GET /v1/snapshots/VERSION/NAME   a file of it, or a Range of it
//
// A manifest has the SHA-256 of every file and of every chunk of it, so that a
// client asks only for the chunks that it does not have, checks each as it
// comes, and goes on where it was cut off.
//
// Only complete snapshots are there, under their versions, and of each only the
// files that its marker lists: a request's path is looked up among names, never
// joined to a folder. Nothing is listed. The token, TLS and the bounds on
// requests are internal/guard's.
package share
