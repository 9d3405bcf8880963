package vllm

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/justrl/justrl/internal/endpoint"
)

// The ways in which a vLLM takes new weights, as --sync names them.
const (
	// WayFiles: it reads a snapshot's folder, named in the call (0.18 and later).
	WayFiles = "files"
	// WayInPlace: the files of the folder that it was started with are replaced,
	// and it reads them again.
	WayInPlace = "in-place"
	// WayTransfer: its weight-transfer routes, the bytes over TCP (scripts/vllm-plugin).
	WayTransfer = "transfer"
	// WayNCCL: the same routes, the bytes over NCCL.
	WayNCCL = "nccl"
)

const (
	initRoute   = "/init_weight_transfer_engine"
	startRoute  = "/start_weight_update"
	updateRoute = "/update_weights"
	finishRoute = "/finish_weight_update"
)

// The names that vLLM gives the ends of a transfer that are known here.
const (
	tcpEngine  = "TCPWeightTransferEngine" // of scripts/vllm-plugin
	ncclEngine = "NCCLWeightTransferEngine"
)

// version is a vLLM's, up to what decides over its routes; zero if it does not say.
type version struct{ major, minor int }

func parseVersion(s string) (v version) {
	major, rest, found := strings.Cut(s, ".")
	if !found {
		return version{}
	}
	minor, _, _ := strings.Cut(rest, ".")
	var errs [2]error
	v.major, errs[0] = strconv.Atoi(major)
	v.minor, errs[1] = strconv.Atoi(minor)
	if errs[0] != nil || errs[1] != nil || v.major < 0 || v.minor < 0 {
		return version{}
	}
	return v
}

// before tells whether v is known to be older than 0.minor.
func (v version) before(minor int) bool { return v != version{} && v.major == 0 && v.minor < minor }

// features is what one server can do, found without changing anything there.
type features struct {
	version version
	// routes are the query parameters of every route; nil where the server does
	// not tell (--disable-fastapi-docs).
	routes map[string][]string
	// engine is the class at the server's end of a weight transfer; "" if it was started without one.
	engine string
}

// probe asks for the version, the list of routes and the end of a weight transfer.
func probe(ctx context.Context, e *endpoint.Endpoint) (f features, err error) {
	var said struct {
		Version string `json:"version"`
	}
	if err := ask(ctx, e, http.MethodGet, "/version", nil, &said); err != nil && !absent(err) {
		return f, err
	}
	f.version = parseVersion(said.Version)
	if f.routes, err = routes(ctx, e); err != nil {
		return f, err
	}
	if f.has(initRoute, 18) {
		f.engine, err = engine(ctx, e)
	}
	return f, err
}

// routes reads /openapi.json.
func routes(ctx context.Context, e *endpoint.Endpoint) (map[string][]string, error) {
	var doc struct {
		Paths map[string]map[string]struct {
			Parameters []struct {
				Name string `json:"name"`
				In   string `json:"in"`
			} `json:"parameters"`
		} `json:"paths"`
	}
	if err := ask(ctx, e, http.MethodGet, "/openapi.json", nil, &doc); absent(err) || err == nil && doc.Paths == nil {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	found := make(map[string][]string, len(doc.Paths))
	for path, methods := range doc.Paths {
		found[path] = nil
		for _, m := range methods {
			for _, p := range m.Parameters {
				if p.In == "query" {
					found[path] = append(found[path], p.Name)
				}
			}
		}
	}
	return found, nil
}

// engine has the server refuse an empty init_info, and reads in whose name it does.
func engine(ctx context.Context, e *endpoint.Endpoint) (string, error) {
	err := e.Do(ctx, http.MethodPost, initRoute, map[string]any{"init_info": map[string]any{}}, nil)
	if err == nil || absent(err) || strings.Contains(err.Error(), "not configured") {
		return "", nil
	}
	if endpoint.StatusOf(err) == 0 {
		return "", err
	}
	const after = "init_info for "
	_, name, found := strings.Cut(err.Error(), after)
	if !found {
		return "another", nil
	}
	end := strings.IndexFunc(name, func(c rune) bool { return c == ':' || c == ' ' })
	if end < 0 {
		end = len(name)
	}
	return name[:end], nil
}

// has tells whether the server has a route, which came with vLLM 0.since.
func (f features) has(route string, since int) bool {
	if f.routes != nil {
		_, ok := f.routes[route]
		return ok
	}
	return f.version != version{} && !f.version.before(since)
}

// pauseTarget stops the scheduler when no request runs any more, and empties
// the prefix cache, in the words of this server.
func (f features) pauseTarget() string {
	known, parameters := f.routes["/pause"]
	q := url.Values{"clear_cache": {"true"}}
	switch {
	case slices.Contains(known, "mode"), !parameters && !f.version.before(18):
		q.Set("mode", "wait")
	case slices.Contains(known, "wait_for_inflight_requests"), !parameters:
		q.Set("wait_for_inflight_requests", "true")
	}
	return "/pause?" + q.Encode()
}

// takesPath tells whether reload_weights is told where the weights are. (0.15
// cannot; of 0.16 and 0.17 nobody here knows, and a wrong guess is an error
// before anything is touched.)
func (f features) takesPath() bool { return !f.version.before(16) }

// ways are the ways in which the server can be loaded by this program, best
// first: who started it with an end for our transfer wants that.
func (f features) ways() []string {
	var out []string
	if f.engine == tcpEngine {
		out = append(out, WayTransfer)
	}
	if f.takesPath() {
		out = append(out, WayFiles)
	}
	return append(out, WayInPlace)
}

// Ways asks a vLLM in which ways it takes new weights, best first; none where
// its development mode is off. It changes nothing. in-place needs more than can
// be asked: that the folder which the server was started with is one of this
// machine too.
func Ways(ctx context.Context, e *endpoint.Endpoint) ([]string, error) {
	if err := ask(ctx, e, http.MethodGet, "/is_paused", nil, nil); absent(err) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	f, err := probe(ctx, e)
	if err != nil {
		return nil, err
	}
	return f.ways(), nil
}

// ask sends a request that a server in order answers at once, whatever the
// model's size; one attempt may take callLimit.
func ask(ctx context.Context, e *endpoint.Endpoint, method, path string, in, out any) error {
	return within(ctx, callLimit, e, method, path, in, out)
}

// within sends a request with a bound on one attempt, 0 for none but ctx's own;
// all that go through here can be sent again without harm.
func within(ctx context.Context, limit time.Duration, e *endpoint.Endpoint, method, path string, in, out any) error {
	return endpoint.Retry{Tries: 4, Patience: 30 * time.Second, Attempt: limit}.Do(ctx, func(ctx context.Context) error {
		return e.Do(ctx, method, path, in, out)
	})
}

// absent tells whether a refusal says that there is no such route.
func absent(err error) bool {
	return endpoint.Missing(err) || endpoint.StatusOf(err) == http.StatusNotImplemented
}
