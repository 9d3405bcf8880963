package guard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
)

// ErrOpen is wrapped where a listener would be open to other machines without a token.
var ErrOpen = errors.New("other machines can reach that address, and no token protects it")

// Listen opens host:port; port 0 takes a free one. Without protection it
// refuses every address but a loopback one with an error that wraps [ErrOpen];
// nothing is accepted before that is known. The caller closes the listener.
func Listen(ctx context.Context, address string, protected bool) (net.Listener, error) {
	if !protected && !Loopback(address) {
		return nil, fmt.Errorf("%s: %w", address, ErrOpen)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	// "localhost" is what the resolver says that it is.
	if !protected && !Loopback(l.Addr().String()) {
		return nil, errors.Join(fmt.Errorf("%s is %s: %w", address, l.Addr(), ErrOpen), l.Close())
	}
	return l, nil
}

// Loopback tells whether host:port names this machine to itself alone. Another
// name than localhost does not, whatever it resolves to today.
func Loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	host, _, _ = strings.Cut(host, "%") // an IPv6 zone
	return strings.EqualFold(host, "localhost") || net.ParseIP(host).IsLoopback()
}
