package sympy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The other half is worker/serve.py.

// Kinds of questions.
const (
	askNormalize = 'N'
	askEqual     = 'E'
)

// Kinds of answers.
const (
	isReady      = 'r'
	isNormalized = 'n'
	isEqual      = 't'
	isDifferent  = 'f'
	isTooBig     = 'm'
)

// maxText bounds a question's texts together: the worker has to hold them several times.
const maxText = 32 << 20

const (
	questionHeader = 1 + 3*4
	answerHeader   = 4 + 1 + 4
)

// appendText adds a text with its length, as the worker's beginnings are sent.
func appendText(b []byte, text string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(text))), text...)
}

func appendQuestion(b []byte, kind byte, number uint32, first, second string) []byte {
	b = append(b, kind)
	for _, n := range []uint32{number, uint32(len(first)), uint32(len(second))} {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	return append(append(b, first...), second...)
}

// errNonsense is in the chain of what no worker of ours would say.
var errNonsense = errors.New("nonsense from the worker")

// readAnswer reads the answer to a question, of most bytes at most. It never
// holds more than those, whatever comes.
func readAnswer(r io.Reader, number uint32, most int) (kind byte, text []byte, err error) {
	var h [answerHeader]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, nil, err
	}
	kind = h[4]
	got, n := binary.BigEndian.Uint32(h[:4]), binary.BigEndian.Uint32(h[5:])
	if got != number || uint64(n) > uint64(most) {
		return 0, nil, fmt.Errorf("%w: %d bytes of kind %q for question %d, asked was %d", errNonsense, n, kind, got, number)
	}
	text = make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return 0, nil, err
	}
	return kind, text, nil
}
