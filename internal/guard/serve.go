package guard

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
)

// Options are those of a server; Handler is needed.
type Options struct {
	Handler http.Handler
	Token   string      // "" asks for none
	TLS     *tls.Config // nil is plain HTTP
	// Requests is how many are answered at once; more are told 503 and to come
	// again. 0 is 64.
	Requests int
}

const (
	headerLimit = 10 * time.Second // for the headers of a request, handshake included
	idleLimit   = 2 * time.Minute
	closeAfter  = 5 * time.Second // for answers under way at the end: they are cancelled and only have to notice
	maxHeader   = 16 << 10        // bytes
)

// Serve answers on l until ctx ends, then cancels the requests under way and
// returns nil when none is left. Another error is l's. l is closed in either case.
func Serve(ctx context.Context, l net.Listener, o Options) error {
	if o.Requests == 0 {
		o.Requests = 64
	}
	server := &http.Server{
		Handler:        RequireToken(o.Token, limited(o.Requests, o.Handler)),
		MaxHeaderBytes: maxHeader,
		ErrorLog:       log.New(io.Discard, "", 0), // what strangers send is not worth a line
	}
	if o.TLS != nil {
		l = tls.NewListener(l, o.TLS)
	}
	return ServeUntil(ctx, l, server, func() {})
}

// ServeUntil has a server answer on l until ctx ends, then cancels the requests
// under way, calls ending, which may do what else makes them end, and returns nil
// when none is left, or what closing those that stayed came to. Another error is
// l's; ending is called then too. l is closed in either case. It sets the
// server's BaseContext and the limits of its connections; the server serves
// nothing else.
func ServeUntil(ctx context.Context, l net.Listener, server *http.Server, ending func()) error {
	requests, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	server.BaseContext = func(net.Listener) context.Context { return requests }
	server.ReadHeaderTimeout, server.IdleTimeout = headerLimit, idleLimit
	stop, stopped := context.WithCancel(ctx)
	var pool errgroup.Group
	pool.Go(func() error {
		<-stop.Done()
		cancel()
		ending()
		grace, end := context.WithTimeout(context.WithoutCancel(ctx), closeAfter)
		defer end()
		if err := server.Shutdown(grace); err != nil {
			return server.Close()
		}
		return nil
	})
	err := server.Serve(l)
	stopped()
	if closing := pool.Wait(); errors.Is(err, http.ErrServerClosed) {
		err = closing
	}
	return err
}

// limited answers so many requests at once.
func limited(most int, next http.Handler) http.Handler {
	room := make(chan struct{}, most)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case room <- struct{}{}:
			defer func() { <-room }()
			next.ServeHTTP(w, r)
		default:
			w.Header().Set("Retry-After", "1")
			Refuse(w, http.StatusServiceUnavailable, strconv.Itoa(most)+" requests are being answered already")
		}
	})
}

// Certificate is the TLS configuration of a certificate and its key, both in
// PEM; nil without either.
func Certificate(cert, key string) (*tls.Config, error) {
	if cert == "" && key == "" {
		return nil, nil
	}
	if cert == "" || key == "" {
		return nil, errors.New("a certificate needs its key and a key its certificate")
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("%s with %s: %w", cert, key, err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}
