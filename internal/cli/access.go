package cli

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/justrl/justrl/internal/endpoint"
)

// accessFlags say how a command reaches its servers. None of them is recorded:
// a key, a header or a path of a CA belongs to a machine, not to a run.
func accessFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "api-key", EnvVars: []string{"JUSTRL_API_KEY"}, Usage: "bearer `KEY` for the servers (others on this machine can see arguments: better the variable, or a file)"},
		&cli.StringFlag{Name: "api-key-file", EnvVars: []string{"JUSTRL_API_KEY_FILE"}, Usage: "read the key from `FILE`"},
		&cli.StringSliceFlag{Name: "header", EnvVars: []string{"JUSTRL_HEADER"}, Usage: "send `\"NAME: VALUE\"` with every request to the servers; may be repeated"},
		caFlag(),
	}
}

func caFlag() cli.Flag {
	return &cli.StringFlag{Name: "ca-file", EnvVars: []string{"JUSTRL_CA_FILE"}, Usage: "trust the certificates in `FILE` (PEM) too, beside the system's"}
}

// access reads those flags; its errors show neither key nor header.
func access(c *cli.Context) (o endpoint.Options, err error) {
	if o.APIKey, err = apiKey(c); err != nil {
		return o, err
	}
	if o.Headers, err = headers(c.StringSlice("header")); err != nil {
		return o, err
	}
	if o.TLS, err = trusting(c.String("ca-file")); err != nil {
		return o, err
	}
	return o, nil
}

func apiKey(c *cli.Context) (string, error) {
	key, file := c.String("api-key"), c.String("api-key-file")
	if file == "" || given(c, "api-key") && !given(c, "api-key-file") {
		return key, nil
	}
	if given(c, "api-key") {
		return "", errors.New("--api-key and --api-key-file: give one of them")
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("--api-key-file: %w", err)
	}
	if key = strings.TrimSpace(string(b)); key == "" || strings.ContainsAny(key, "\r\n") {
		return "", fmt.Errorf("--api-key-file %s: does not hold one key on one line", file)
	}
	return key, nil
}

func headers(lines []string) (http.Header, error) {
	h := http.Header{}
	for i, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return nil, fmt.Errorf("--header, the %s: is not of the form \"NAME: VALUE\"", ordinal(i+1)) // it may be all secret
		}
		if http.CanonicalHeaderKey(name) == "Authorization" {
			return nil, errors.New("--header Authorization: give the key with --api-key-file or JUSTRL_API_KEY")
		}
		h.Add(name, strings.TrimSpace(value))
	}
	return h, nil
}

// trusting is nil, the system's settings, without a file.
func trusting(file string) (*tls.Config, error) {
	if file == "" {
		return nil, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("--ca-file: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("--ca-file %s: has no certificate in PEM", file)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}

func ordinal(n int) string {
	if n >= 1 && n <= 3 {
		return []string{"first", "second", "third"}[n-1]
	}
	return fmt.Sprintf("%dth", n)
}
