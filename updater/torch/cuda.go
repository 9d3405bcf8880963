//go:build torch

package torch

// #include "justrl.h"
import "C"

import "fmt"

// useCUDA loads the CUDA half of libtorch from beside libtorch_cpu.so and checks
// that there is a device of that number. A library that is missing is named,
// with the folder where it was looked for.
func useCUDA(device int) error {
	var devices C.int
	if err := asError(C.jr_load_cuda(&devices)); err != nil {
		return fmt.Errorf("device cuda:%d: %w", device, err)
	}
	if devices == 0 {
		return fmt.Errorf("device cuda:%d: torch: libtorch's CUDA half is loaded and sees no device: does nvidia-smi list one, and is its driver new enough for this CUDA?", device)
	}
	if device >= int(devices) {
		return fmt.Errorf("device cuda:%d: torch: there are %d, cuda:0 to cuda:%d", device, devices, devices-1)
	}
	return nil
}
