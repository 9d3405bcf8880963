package sympy

import (
	"fmt"
	"os"
)

// sympy keeps something of every symbol and function that it has seen: up to
// 40 kB a pair when none comes twice, next to nothing otherwise. A worker that has
// grown is replaced; a start costs half a second.
const (
	wornSize      = 192 << 20 // bytes in memory; 60 MB after thousands of usual pairs
	wornLook      = 64        // questions between two looks
	wornQuestions = 10_000    // where /proc does not tell the size
)

// worn tells whether a worker is to be replaced.
func (w *worker) worn() bool {
	if w.number%wornLook != 0 {
		return false
	}
	size, known := residentSize(w.cmd.Process.Pid)
	if !known {
		return w.number >= wornQuestions
	}
	return size > wornSize
}

// residentSize is how much memory a process has, in bytes.
func residentSize(pid int) (size int64, known bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, false
	}
	var all, resident int64
	if _, err := fmt.Sscan(string(b), &all, &resident); err != nil {
		return 0, false
	}
	return resident * int64(os.Getpagesize()), true
}
