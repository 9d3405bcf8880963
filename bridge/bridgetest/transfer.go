package bridgetest

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// transfer is the server's end of a weight transfer.
type transfer struct {
	conns  []net.Conn             // one a worker
	next   func() ([]byte, error) // NCCL's; nil over TCP
	chunk  int64                  // NCCL's, packed
	active bool
	loaded *Model // what the last update brought
}

func (t *transfer) close() {
	for _, c := range t.conns {
		_ = c.Close()
	}
	t.conns = nil
}

// Bytes are the model's tensors as a transfer sends them: the first eight
// float64 of embed are Theta.
func (m Model) Bytes(name string) ([]byte, error) {
	for _, t := range Tensors() {
		if t.Name != name {
			continue
		}
		b := make([]byte, 4)
		for _, d := range t.Shape {
			b = make([]byte, int64(len(b))*d)
		}
		if name == "embed" {
			for i, x := range m.Theta {
				binary.LittleEndian.PutUint64(b[8*i:], math.Float64bits(x))
			}
		}
		return b, nil
	}
	return nil, fmt.Errorf("no tensor %q", name)
}

// Close makes a Model what a publisher opens.
func (m Model) Close() error { return nil }

// keys that each end takes in its init_info; those before the bar are needed.
var initKeys = map[string]string{
	"TCPWeightTransferEngine":  "master_address master_port token | rank_offset world_size",
	"NCCLWeightTransferEngine": "rank_offset world_size | nccl_unique_id_b64 master_address master_port packed packed_buffer_size_bytes packed_num_buffers",
}

func (s *Server) initTransfer(w http.ResponseWriter, r *http.Request) {
	var req struct {
		InitInfo map[string]any `json:"init_info"`
	}
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil || req.InitInfo == nil {
		http.Error(w, `{"detail":"init_info: field required"}`, http.StatusUnprocessableEntity)
		return
	}
	b := s.build
	if b.Engine == "" {
		refuse(w, "Weight transfer not configured. Please set weight_transfer_config to enable weight transfer.")
		return
	}
	needed, optional, _ := strings.Cut(initKeys[b.Engine], " | ")
	for _, key := range strings.Fields(needed) {
		if _, ok := req.InitInfo[key]; !ok {
			refuse(w, fmt.Sprintf("Call to init_weight_transfer_engine method failed: Invalid init_info for %s: missing %q", b.Engine, key))
			return
		}
	}
	for key := range req.InitInfo {
		if !slices.Contains(strings.Fields(needed+" "+optional), key) {
			refuse(w, fmt.Sprintf("Invalid init_info for %s: got an unexpected keyword argument '%s'", b.Engine, key))
			return
		}
	}
	t := transfer{}
	var err error
	if b.Engine == "NCCLWeightTransferEngine" {
		t.next, err = b.Receive(req.InitInfo)
		size, _ := req.InitInfo["packed_buffer_size_bytes"].(float64)
		t.chunk = int64(size)
	} else {
		err = t.dial(r.Context(), req.InitInfo, max(b.Workers, 1))
	}
	if err != nil {
		t.close()
		refuse(w, err.Error())
		return
	}
	s.mu.Lock()
	s.transfer.close()
	t.active = s.transfer.active || s.faults.OpenTransfer
	s.faults.OpenTransfer = false
	s.transfer = t
	s.mu.Unlock()
	_, _ = io.WriteString(w, `{"message":"Weight transfer initialized"}`)
}

// dial is what each worker of scripts/vllm-plugin does.
func (t *transfer) dial(ctx context.Context, info map[string]any, workers int) error {
	port, _ := info["master_port"].(float64)
	dialer := net.Dialer{Timeout: 5 * time.Second}
	for range workers {
		c, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(fmt.Sprint(info["master_address"]), strconv.Itoa(int(port))))
		if err != nil {
			return err
		}
		t.conns = append(t.conns, c)
		if _, err := io.WriteString(c, fmt.Sprint(info["token"])); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) startTransfer(w http.ResponseWriter, r *http.Request) {
	var req map[string]any
	if err := json.NewDecoder(r.Body).Decode(&req); s.build.minor() < 26 && (err != nil || req["is_checkpoint_format"] == nil) {
		http.Error(w, `{"detail":"is_checkpoint_format: field required"}`, http.StatusUnprocessableEntity)
		return
	}
	s.locked(func(*http.Request) (any, string) {
		if s.transfer.active {
			return nil, "start_weight_update called while a weight update is already active. Call finish_weight_update first."
		}
		s.transfer.active, s.broken = true, true
		return map[string]string{"message": "Weight update started"}, ""
	})(w, r)
}

// updateNow holds the lock while it receives: nobody may ask for anything else meanwhile.
func (s *Server) updateNow(r *http.Request) (any, string) {
	var req struct {
		UpdateInfo struct {
			Names  []string  `json:"names"`
			DTypes []string  `json:"dtype_names"`
			Shapes [][]int64 `json:"shapes"`
		} `json:"update_info"`
	}
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	err := dec.Decode(&req)
	framed := s.build.minor() >= 22
	if framed && !s.transfer.active {
		return nil, "start_weight_update must be called before update_weights."
	}
	fail := func(why string) (any, string) {
		s.transfer.active, s.broken = false, true
		return nil, why
	}
	u := req.UpdateInfo
	switch {
	case err != nil || len(u.Names) == 0 || len(u.DTypes) != len(u.Names) || len(u.Shapes) != len(u.Names):
		return fail(fmt.Sprintf("Invalid update_info for %s: %v", s.build.Engine, err))
	case s.failed():
		return fail("the receiver failed")
	}
	var sizes []int64
	for i, shape := range u.Shapes {
		size := int64(map[string]int{"float32": 4, "bfloat16": 2}[u.DTypes[i]])
		for _, d := range shape {
			size *= d
		}
		sizes = append(sizes, size)
	}
	got, err := s.receive(u.Names, sizes)
	if err != nil {
		return fail(err.Error())
	}
	if names := slices.Sorted(maps.Keys(got)); len(names) != len(Tensors()) {
		return fail(fmt.Sprintf("got only %v", names))
	}
	m := s.model
	for i := range m.Theta {
		m.Theta[i] = math.Float64frombits(binary.LittleEndian.Uint64(got["embed"][8*i:]))
	}
	if framed {
		s.transfer.loaded = &m
	} else {
		s.take(m)
	}
	return map[string]string{"message": "Weights updated"}, ""
}

// receive reads the tensors of every worker, and returns the last one's.
func (s *Server) receive(names []string, sizes []int64) (got map[string][]byte, err error) {
	cut := s.faults.CutTransfers > 0
	if cut {
		s.faults.CutTransfers--
	}
	t := &s.transfer
	if t.next == nil && len(t.conns) == 0 {
		return nil, fmt.Errorf("not initialised")
	}
	streams := t.conns
	if t.next != nil {
		streams = []net.Conn{nil}
	}
	for _, c := range streams {
		got = map[string][]byte{}
		var waiting []byte
		var packed int64 // of the chunk that is open
		for i, name := range names {
			b := make([]byte, sizes[i])
			switch {
			case cut && i > 0:
				t.close()
				return nil, fmt.Errorf("the connection was reset")
			case c != nil:
				_, err = io.ReadFull(c, b)
			default:
				if packed == 0 {
					if waiting, err = t.next(); err != nil {
						return nil, err
					}
				}
				if int64(len(waiting)) < sizes[i] {
					return nil, fmt.Errorf("chunk ends inside %s: real NCCL would hang", name)
				}
				b, waiting, packed = waiting[:sizes[i]], waiting[sizes[i]:], packed+sizes[i]
				if packed > t.chunk {
					packed = 0
				}
			}
			if err != nil {
				return nil, fmt.Errorf("trainer closed the connection (%w)", err)
			}
			got[name] = b
		}
		if len(waiting) > 0 {
			return nil, fmt.Errorf("chunk is %d bytes too long", len(waiting))
		}
	}
	return got, nil
}

func (s *Server) finishTransfer(r *http.Request) (any, string) {
	if !s.transfer.active {
		return nil, "finish_weight_update called without a matching start_weight_update."
	}
	var req struct {
		WeightVersion string `json:"weight_version"`
	}
	_ = json.NewDecoder(r.Body).Decode(&req) // the body is optional
	s.transfer.active = false
	if s.transfer.loaded != nil {
		s.take(*s.transfer.loaded)
		s.transfer.loaded = nil
	}
	if req.WeightVersion != "" && s.build.minor() >= 30 {
		s.tag = req.WeightVersion
	}
	return map[string]string{"message": "Weight update finished"}, ""
}
