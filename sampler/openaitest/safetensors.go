package openaitest

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/goccy/go-json"
)

// checkSafetensors tells whether b is a whole safetensors file: eight bytes of
// header length, a JSON header, and as many bytes as its tensors need.
func checkSafetensors(b []byte) error {
	if len(b) < 8 {
		return errors.New("HeaderTooSmall")
	}
	n := binary.LittleEndian.Uint64(b)
	if n > uint64(len(b)-8) {
		return errors.New("InvalidHeaderLength")
	}
	var header map[string]struct {
		DataOffsets []int64 `json:"data_offsets"`
	}
	if err := json.Unmarshal(b[8:8+n], &header); err != nil {
		return fmt.Errorf("InvalidHeaderDeserialization: %w", err)
	}
	var end int64
	for name, t := range header {
		if name == "__metadata__" {
			continue
		}
		if len(t.DataOffsets) != 2 {
			return fmt.Errorf("tensor %q has no data_offsets", name)
		}
		end = max(end, t.DataOffsets[1])
	}
	if end != int64(len(b))-8-int64(n) {
		return errors.New("MetadataIncompleteBuffer")
	}
	return nil
}
