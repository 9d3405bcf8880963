package parquetfile

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/parquet-go/parquet-go/encoding/thrift"
)

const (
	// maxThriftDepth bounds nested structs and lists; the format itself has eight.
	maxThriftDepth = 32
	// structBytes is at least what one struct of the format takes when it is decoded.
	structBytes = 1 << 10
	scalarBytes = 16
)

// thriftCheck walks over one struct in the compact protocol before it is decoded:
// the decoder makes room for as many entries as a list claims to have, and calls
// itself for every level of nesting.
type thriftCheck struct {
	r      thrift.BytesReader
	size   int
	memory int // that may still be taken
}

var compact thrift.CompactProtocol

var errListTooLong = errors.New("a list is longer than what there is of it")

// checkThrift fails if b does not hold a whole struct, or if its lists would take more
// than memory bytes when it is decoded.
func checkThrift(b []byte, memory int) error {
	c := thriftCheck{r: compact.NewReaderFromBytes(b), size: len(b), memory: memory}
	return c.fields(0)
}

func (c *thriftCheck) fields(depth int) error {
	if depth > maxThriftDepth {
		return fmt.Errorf("more than %d levels of nesting", maxThriftDepth)
	}
	for {
		f, err := c.r.ReadField()
		if err != nil || f.Type == thrift.STOP {
			return err
		}
		if f.Type == thrift.TRUE || f.Type == thrift.FALSE { // the value is the type
			continue
		}
		if err := c.value(f.Type, depth); err != nil {
			return err
		}
	}
}

func (c *thriftCheck) value(t thrift.Type, depth int) (err error) {
	switch t {
	case thrift.TRUE, thrift.FALSE:
		_, err = c.r.ReadBool()
	case thrift.I8:
		_, err = c.r.ReadInt8()
	case thrift.I16:
		_, err = c.r.ReadInt16()
	case thrift.I32:
		_, err = c.r.ReadInt32()
	case thrift.I64:
		_, err = c.r.ReadInt64()
	case thrift.DOUBLE:
		_, err = c.r.ReadFloat64()
	case thrift.BINARY:
		_, err = c.r.ReadBytes()
	case thrift.UUID:
		_, first := c.r.ReadFloat64()
		_, second := c.r.ReadFloat64()
		err = cmp.Or(first, second) // one line
	case thrift.STRUCT:
		err = c.fields(depth + 1)
	case thrift.LIST, thrift.SET:
		l, err := c.r.ReadList()
		if err != nil {
			return err
		}
		return c.entries(int(l.Size), depth, l.Type)
	case thrift.MAP:
		m, err := c.r.ReadMap()
		if err != nil {
			return err
		}
		return c.entries(int(m.Size), depth, m.Key, m.Value)
	default:
		err = fmt.Errorf("no such type as %d", t)
	}
	return err
}

// entries are n of a list's, or of a map's, of the types.
func (c *thriftCheck) entries(n, depth int, types ...thrift.Type) error {
	if depth >= maxThriftDepth {
		return fmt.Errorf("more than %d levels of nesting", maxThriftDepth)
	}
	if left := c.size - c.r.BytesRead(); n > left { // each takes a byte or more
		return fmt.Errorf("%w: %d entries in %d bytes", errListTooLong, n, left)
	}
	for _, t := range types {
		each := scalarBytes
		if t == thrift.STRUCT || t == thrift.LIST || t == thrift.SET || t == thrift.MAP {
			each = structBytes
		}
		if c.memory -= n * each; c.memory < 0 {
			return errors.New("more columns and row groups than are read")
		}
	}
	for range n {
		for _, t := range types {
			if err := c.value(t, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}
