package measure

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Memory is what a process has resident, in bytes.
type Memory struct {
	Now  int64
	Peak int64 // since the process began, or since ResetPeak
}

// MemoryOf reads /proc/PID/status, which Linux alone has.
func MemoryOf(pid int) (Memory, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return Memory{}, err
	}
	return parseMemory(string(b))
}

// ResetPeak has the process's Peak begin again at Now.
func ResetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

func parseMemory(status string) (m Memory, err error) {
	for key, to := range map[string]*int64{"VmRSS": &m.Now, "VmHWM": &m.Peak} {
		_, rest, _ := strings.Cut("\n"+status, "\n"+key+":")
		line, _, _ := strings.Cut(rest, "\n")
		kilobytes, found := strings.CutSuffix(strings.TrimSpace(line), " kB")
		n, err := strconv.ParseInt(kilobytes, 10, 64)
		if !found || err != nil {
			return m, fmt.Errorf("no %s in a process's status", key)
		}
		*to = n << 10
	}
	return m, nil
}
