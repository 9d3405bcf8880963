package bridge_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/bridge/bridgetest"
	"github.com/justrl/justrl/internal/atomicdir"
)

func TestCheckSnapshot(t *testing.T) {
	root := t.TempDir()
	snapshots := bridge.Snapshots{Root: root, Exporter: theta0, Inspector: bridgetest.Inspector{}, Want: bridgetest.Tensors()}
	whole, err := snapshots.Publish(t.Context(), 3, 1)
	if err != nil {
		t.Fatal(err)
	}
	other := whole
	other.Version = 4
	nowhere := whole
	nowhere.Dir += "-2"
	for _, c := range []struct {
		name string
		s    bridge.Snapshot
		want []bridge.Tensor
		is   error
		says string // "" if it passes
	}{
		{"whole", whole, bridgetest.Tensors(), nil, ""},
		{"of another version", other, bridgetest.Tensors(), nil, "version-000003 holds version 3"},
		{"not there", nowhere, bridgetest.Tensors(), atomicdir.ErrIncomplete, "version-000003-2"},
		{"of another model", whole, bridgetest.Tensors()[1:], bridge.ErrTensors, "embed is not in the model"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := bridge.CheckSnapshot(c.s, bridgetest.Inspector{}, c.want)
			if c.says == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.says) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("error %v, want %q (%v)", err, c.says, c.is)
			}
		})
	}
}
