package tensorboard

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/justrl/justrl/orchestrator/journal"
)

// Fields of tensorflow.Event, Summary.Value and what is in them.
const (
	eventTime, eventStep, eventVersion, eventSummary, eventSession = 1, 2, 3, 5, 7

	summaryValue                                  = 1
	valueTag, valueSimple, valueTensor, valueMeta = 1, 2, 8, 9
	metaPlugin, pluginName                        = 1, 1
	tensorType, tensorShape, tensorStrings        = 1, 2, 8
	shapeDim, dimSize                             = 2, 1

	typeString   = 7
	sessionStart = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// masked is the checksum of a record: a CRC of data that hold CRCs is a poor one.
func masked(b []byte) uint32 {
	c := crc32.Checksum(b, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

// appendRecord adds one record with the data.
func appendRecord(to, data []byte) []byte {
	from := len(to)
	to = binary.LittleEndian.AppendUint64(to, uint64(len(data)))
	to = binary.LittleEndian.AppendUint32(to, masked(to[from:]))
	to = append(to, data...)
	return binary.LittleEndian.AppendUint32(to, masked(data))
}

// event begins an event at a time and a step.
func event(at time.Time, step int) []byte {
	b := protowire.AppendTag(nil, eventTime, protowire.Fixed64Type)
	b = protowire.AppendFixed64(b, math.Float64bits(float64(at.UnixMicro())/1e6))
	b = protowire.AppendTag(b, eventStep, protowire.VarintType)
	return protowire.AppendVarint(b, uint64(int64(step)))
}

func appendBytes(to []byte, field protowire.Number, b []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(to, field, protowire.BytesType), b)
}

func appendString(to []byte, field protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(to, field, protowire.BytesType), s)
}

func appendNumber(to []byte, field protowire.Number, n uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(to, field, protowire.VarintType), n)
}

// head is what a file begins with: its version and the mark of a new session,
// which takes back all that was read before it.
func head(at time.Time) []byte {
	version := appendString(event(at, 0), eventVersion, "brain.Event:2")
	session := appendBytes(event(at, 0), eventSession, appendNumber(nil, 1, sessionStart))
	return appendRecord(appendRecord(nil, version), session)
}

// scalars is one record with the figures of a step.
func scalars(at time.Time, step int, all []journal.Scalar) []byte {
	var summary, value []byte
	for _, s := range all {
		value = appendString(value[:0], valueTag, s.Name)
		value = protowire.AppendTag(value, valueSimple, protowire.Fixed32Type)
		value = protowire.AppendFixed32(value, math.Float32bits(float32(s.Value)))
		summary = appendBytes(summary, summaryValue, value)
	}
	return appendRecord(nil, appendBytes(event(at, step), eventSummary, summary))
}

// text is one record with a text, in which TensorBoard reads Markdown.
func text(at time.Time, step int, tag, markdown string) []byte {
	plugin := appendBytes(nil, metaPlugin, appendString(nil, pluginName, "text"))
	shape := appendBytes(nil, shapeDim, appendNumber(nil, dimSize, 1))
	tensor := appendNumber(nil, tensorType, typeString)
	tensor = appendString(appendBytes(tensor, tensorShape, shape), tensorStrings, markdown)
	value := appendBytes(appendBytes(appendString(nil, valueTag, tag), valueTensor, tensor), valueMeta, plugin)
	return appendRecord(nil, appendBytes(event(at, step), eventSummary, appendBytes(nil, summaryValue, value)))
}
