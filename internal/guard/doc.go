// Package guard is what every listener of our own has in front of it: a bearer
// token, TLS where a certificate is given, bounds on time and on requests at
// once. A listener that other machines can reach and that asks for no token
// does not come up.
package guard
