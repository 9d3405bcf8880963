package agent

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/justrl/justrl/bridge/share"
)

// Request asks an agent to load a snapshot. The same request again, with the
// same attempt, joins the load that it began.
type Request struct {
	Attempt string `json:"attempt"` // one of each Load of a Publisher
	Run     string `json:"run"`
	Version int64  `json:"version"`
	SHA256  string `json:"sha256"` // bridge.Snapshot's
}

const maxRequest = 4 << 10 // bytes

// parseRequest reads a request and makes sure that nothing in it can be more
// than it says.
func parseRequest(b []byte) (Request, error) {
	var r Request
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		return Request{}, fmt.Errorf("not a request to load: %w", err)
	}
	if len(bytes.TrimSpace(b[dec.InputOffset():])) > 0 {
		return Request{}, errors.New("not a request to load: something follows its JSON")
	}
	sum, err := hex.DecodeString(r.SHA256)
	switch {
	case !share.ValidRun(r.Attempt):
		return Request{}, errors.New("not a request to load: attempt must be an id")
	case !share.ValidRun(r.Run):
		return Request{}, errors.New("not a request to load: run must be an id")
	case r.Version < 0:
		return Request{}, fmt.Errorf("not a request to load: version is %d", r.Version)
	case err != nil || len(sum) != 32:
		return Request{}, errors.New("not a request to load: sha256 is not one")
	}
	return r, nil
}

// The states of a load.
const (
	StatePulling = "pulling"
	StateLoading = "loading" // into the inference server
	StateLoaded  = "loaded"
	StateFailed  = "failed"
)

// Report is how far a load has come, or what a server shows.
type Report struct {
	State string  `json:"state,omitempty"`
	Dir   string  `json:"dir,omitempty"` // on the agent's host, once loaded
	Pull  Pulled  `json:"pull"`
	LoadS float64 `json:"load_s,omitempty"`
	Fault *Fault  `json:"fault,omitempty"` // why it failed
}

// Pulled is what a pull did.
type Pulled struct {
	Bytes   int64   `json:"bytes"`   // of the snapshot
	Fetched int64   `json:"fetched"` // bytes of chunks that came from the trainer; those that came twice count twice
	Reused  int64   `json:"reused"`  // bytes of chunks that an earlier snapshot had
	Resumed int64   `json:"resumed"` // bytes of chunks that a pull that broke off had brought
	Seconds float64 `json:"seconds"`
}

// Status is what an agent is.
type Status struct {
	Server  string   `json:"server"`          // that it loads into, as the agent reaches it
	Way     string   `json:"way,omitempty"`   // in which it would, as justrl agent --sync names it; "" if that is not known
	Fault   *Fault   `json:"fault,omitempty"` // why it cannot
	Trainer string   `json:"trainer"`
	Dir     string   `json:"dir"`
	Keep    int      `json:"keep"`
	Run     string   `json:"run,omitempty"` // of what was loaded last; "" since the agent's start
	Version int64    `json:"version"`
	Loading bool     `json:"loading"` // then Run and Version are not told
	Have    []string `json:"have"`    // the complete snapshots in Dir, the newest first
}
