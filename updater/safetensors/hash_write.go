package safetensors

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// Sums are the hashes of written weights, in lower-case hex.
type Sums struct {
	// Files has the SHA-256 of every file that was written, by its name.
	Files map[string]string
	// Weights is what [Set.SHA256] is of the folder.
	Weights string
}

// hashing makes Sums of files while they are written. A nil one makes none.
//
// The hash by name takes the tensors from memory where they come in the order
// of their names, as the reference implementation writes those of one type.
// Otherwise a goroutine follows in that order and reads back what is written,
// from memory too as long as the kernel has it in its cache.
type hashing struct {
	sums    Sums
	names   hash.Hash
	written map[string]chan span // nil if in order; each gets one span
	ctx     context.Context      // the follower's; done once it has failed
	cancel  context.CancelFunc
	group   *errgroup.Group
}

// span is where a tensor was written.
type span struct {
	file io.ReaderAt
	at   int64
}

// newHashing is for a layout that check has passed. The caller calls stop.
func newHashing(l Layout) *hashing {
	h := &hashing{sums: Sums{Files: map[string]string{}}, names: sha256.New()}
	var order []Info
	for _, f := range l.Files {
		order = append(order, f.Tensors...)
	}
	byName := func(a, b Info) int { return strings.Compare(a.Name, b.Name) }
	if slices.IsSortedFunc(order, byName) {
		return h
	}
	slices.SortFunc(order, byName)
	h.written = map[string]chan span{}
	for _, t := range order {
		h.written[t.Name] = make(chan span, 1)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel = cancel
	h.group, h.ctx = errgroup.WithContext(ctx)
	h.group.Go(func() error { return h.follow(order) })
	return h
}

// follow hashes the tensors in the order of their names, each once it is written.
func (h *hashing) follow(order []Info) error {
	buffer := make([]byte, large)
	for _, t := range order {
		var s span
		select {
		case s = <-h.written[t.Name]:
		case <-h.ctx.Done():
			return h.ctx.Err()
		}
		left, err := t.Size()
		if err != nil {
			return err
		}
		hashFrame(h.names, t, left)
		for ; left > 0 && h.ctx.Err() == nil; left -= int64(len(buffer)) {
			b := buffer[:min(left, int64(len(buffer)))]
			if n, err := s.file.ReadAt(b, s.at); n < len(b) {
				return fmt.Errorf("read tensor %q back: %w", t.Name, err)
			}
			h.names.Write(b)
			s.at += int64(len(b))
		}
	}
	return h.ctx.Err()
}

// begin returns the sum that the tensor's bytes are to be added to, if any.
func (h *hashing) begin(t Info) hash.Hash {
	if h == nil || h.written != nil {
		return nil
	}
	size, err := t.Size()
	if err != nil {
		return nil // not after check
	}
	hashFrame(h.names, t, size)
	return h.names
}

// end says that the tensor is written at a place of s.
func (h *hashing) end(t Info, s *sink, at int64) error {
	if h == nil || h.written == nil {
		return nil
	}
	if h.ctx.Err() != nil {
		return h.group.Wait() // the follower's, which nobody else has stopped
	}
	if err := s.buffer.Flush(); err != nil {
		return err
	}
	h.written[t.Name] <- span{s.source, at}
	return nil
}

// finish returns the sums once everything is written; none of a nil one.
func (h *hashing) finish() (Sums, error) {
	if h == nil {
		return Sums{}, nil
	}
	if h.group != nil {
		if err := h.group.Wait(); err != nil {
			return Sums{}, err
		}
	}
	h.sums.Weights = hex.EncodeToString(h.names.Sum(nil))
	return h.sums, nil
}

// stop ends the follower, and returns when it has ended; its error is of no use any more.
func (h *hashing) stop() {
	if h != nil && h.group != nil {
		h.cancel()
		_ = h.group.Wait()
	}
}
