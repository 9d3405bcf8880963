package vllm

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
)

// Communicator is NCCL as a [Carrier] needs it: rank 0 of a group with the
// server's workers, on a GPU of its own. This program has none; the calls to
// NCCL belong to whoever can test them on two GPUs.
type Communicator interface {
	// UniqueID is a new group's name (ncclGetUniqueId).
	UniqueID() ([128]byte, error)
	// Join enters the group as rank 0 of world (ncclCommInitRank) and at once
	// takes part in an all-reduce of one float32: vLLM's workers do so too, and
	// without it all of them hang. It blocks until all are there.
	Join(ctx context.Context, id [128]byte, world int) error
	// Broadcast sends bytes from rank 0 (ncclBroadcast of ncclUint8). A ctx that
	// ends must abort the group (ncclCommAbort): a lost worker is never noticed otherwise.
	Broadcast(ctx context.Context, b []byte) error
	// Close leaves the group.
	Close() error
}

// errNoNCCL is what --sync nccl gets without a Communicator.
var errNoNCCL = errors.New("--sync nccl needs a GPU and NCCL in the trainer, and this program drives neither: use --sync files, or --sync transfer with scripts/vllm-plugin")

// ncclChunk is the bytes after which a packed broadcast is closed; the workers
// hold two of them on the GPU.
const ncclChunk = 256 << 20

// nccl is a [Carrier] to vLLM's own NCCL backend, 0.30 and later: the group's
// id goes over HTTP, and tensors are packed into few broadcasts.
type nccl struct {
	comm  Communicator
	chunk int64
	id    [128]byte
	world int
	open  bool
}

// Init implements Carrier.
func (c *nccl) Init(_ context.Context, workers int) (map[string]any, error) {
	if c.comm == nil {
		return nil, errNoNCCL
	}
	if err := c.Close(); err != nil {
		return nil, err
	}
	id, err := c.comm.UniqueID()
	if err != nil {
		return nil, fmt.Errorf("NCCL: %w", err)
	}
	c.id, c.world = id, 1+workers
	return map[string]any{
		"nccl_unique_id_b64": base64.StdEncoding.EncodeToString(id[:]), // no master_address beside it
		"rank_offset":        1, "world_size": c.world,
		"packed": true, "packed_buffer_size_bytes": c.chunk, "packed_num_buffers": 2,
	}, nil
}

// Join implements Carrier.
func (c *nccl) Join(ctx context.Context) error {
	c.open = true
	return c.comm.Join(ctx, c.id, c.world)
}

// Send implements Carrier.
func (c *nccl) Send(ctx context.Context, tensors []Tensor) error {
	var buf []byte
	for _, chunk := range pack(tensors, c.chunk) {
		buf = buf[:0]
		for _, t := range chunk {
			buf = append(buf, t.Data...)
		}
		if err := c.comm.Broadcast(ctx, buf); err != nil {
			return fmt.Errorf("NCCL: %w", err)
		}
	}
	return nil
}

// Close implements Carrier.
func (c *nccl) Close() error {
	if !c.open {
		return nil
	}
	c.open = false
	return c.comm.Close()
}

// pack cuts the tensors as vLLM's workers do: a chunk ends with the tensor that
// makes it longer than limit bytes, or with the last one. There is nothing
// between two tensors, so those of one dtype stay aligned.
func pack(tensors []Tensor, limit int64) (chunks [][]Tensor) {
	var size int64
	from := 0
	for i, t := range tensors {
		size += int64(len(t.Data))
		if size > limit {
			chunks, from, size = append(chunks, tensors[from:i+1]), i+1, 0
		}
	}
	if from < len(tensors) {
		chunks = append(chunks, tensors[from:])
	}
	return chunks
}
