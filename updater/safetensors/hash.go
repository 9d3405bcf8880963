package safetensors

import (
	"encoding/binary"
	"fmt"
	"hash"
	"runtime"
	"runtime/debug"
)

// SHA256 is a hash of the weights, in lower-case hex, that does not depend on
// how they are split into files, nor on metadata. It is the SHA-256 of the
// concatenation, over the tensors in the byte order of their names, of
//
//	u64(len(name)) name u64(len(dtype)) dtype u64(len(shape)) u64(shape[0]) … u64(len(data)) data
//
// with u64 an unsigned 64-bit integer in little endian, name in UTF-8, dtype
// as safetensors spells it and data the tensor's bytes as they are in the file.
// A file that another process has shortened since Open is an error.
func (s *Set) SHA256() (sum string, err error) {
	// A page that is gone raises a fault; make it a panic of this goroutine,
	// and only that panic an error.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	current := ""
	defer func() {
		switch r := recover().(type) {
		case nil:
		case interface {
			runtime.Error
			Addr() uintptr
		}:
			err = fmt.Errorf("%s: tensor %q can no longer be read: its file was shortened or its disk failed; copy it again (%w)", s.dir, current, r)
		default:
			panic(r)
		}
	}()
	return s.layout.SHA256(func(name string) ([]byte, error) {
		current = name
		return s.Bytes(name)
	})
}

func hashTensor(h hash.Hash, i Info, data []byte) {
	hashFrame(h, i, int64(len(data)))
	h.Write(data)
}

// hashFrame adds all that the hash has of a tensor but its bytes.
func hashFrame(h hash.Hash, i Info, size int64) {
	var b []byte
	b = binary.LittleEndian.AppendUint64(b, uint64(len(i.Name)))
	b = append(b, i.Name...)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(i.DType)))
	b = append(b, i.DType...)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(i.Shape)))
	for _, d := range i.Shape {
		b = binary.LittleEndian.AppendUint64(b, uint64(d))
	}
	b = binary.LittleEndian.AppendUint64(b, uint64(size))
	h.Write(b)
}
