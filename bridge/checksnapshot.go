package bridge

import (
	"fmt"

	"github.com/justrl/justrl/internal/atomicdir"
)

// CheckSnapshot is what every Publisher does before it asks its server for
// anything: it refuses a snapshot whose folder is not complete, is of another
// version, or has other tensors than want (see [CheckTensors]).
func CheckSnapshot(s Snapshot, i Inspector, want []Tensor) error {
	m, err := atomicdir.Read(s.Dir)
	if err != nil {
		return err
	}
	if m.Version != s.Version {
		return fmt.Errorf("%s holds version %d", s.Dir, m.Version)
	}
	have, err := i.Tensors(s.Dir)
	if err != nil {
		return err
	}
	if err := CheckTensors(want, have); err != nil {
		return fmt.Errorf("%s: %w", s.Dir, err)
	}
	return nil
}
