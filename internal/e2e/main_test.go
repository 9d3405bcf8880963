//go:build torch && !vllm

package e2e

import (
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	beJustrl()
	os.Exit(m.Run())
}
