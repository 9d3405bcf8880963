package measure

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// Machine is where it was measured.
type Machine struct {
	Cores     int    `json:"cores"`
	Processor string `json:"processor"` // "" where the system does not say
	System    string `json:"system"`
}

// ThisMachine describes the machine that runs this.
func ThisMachine() Machine {
	m := Machine{Cores: runtime.NumCPU(), System: runtime.GOOS + "/" + runtime.GOARCH}
	info, _ := os.ReadFile("/proc/cpuinfo") // Linux alone has it
	for line := range strings.Lines(string(info)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			m.Processor = strings.TrimSpace(value)
			break
		}
	}
	return m
}

// ticks of /proc/PID/stat a second: USER_HZ, 100 on every Linux that Go runs on.
const ticks = 100

// BusyCPU is the processor time in seconds that the machine has spent on
// anything at all, stolen time included; 0 where there is no /proc.
func BusyCPU() float64 {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	return parseBusy(b)
}

// parseBusy reads the first line of /proc/stat: user, nice, system, idle,
// iowait, irq, softirq, steal; 0 if it is something else.
func parseBusy(b []byte) float64 {
	line, _, _ := strings.Cut(string(b), "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0
	}
	total := 0.0
	for i, field := range fields[1:9] {
		x, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return 0
		}
		if i != 3 && i != 4 {
			total += x
		}
	}
	return total / ticks
}

// TreeCPU is the processor time in seconds that a process and its living
// descendants have taken; 0 for process 0 and where there is no /proc.
func TreeCPU(pid int) float64 {
	if pid == 0 {
		return 0
	}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	children := map[int][]int{}
	spent := map[int]float64{}
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended meanwhile
		}
		id, parent, seconds, ok := parseStat(b)
		if ok {
			children[parent] = append(children[parent], id)
			spent[id] = seconds
		}
	}
	total := 0.0
	for queue := []int{pid}; len(queue) > 0; queue = queue[1:] {
		total += spent[queue[0]]
		queue = append(queue, children[queue[0]]...)
	}
	return total
}

// parseStat reads a line of /proc/PID/stat. The second field is the command in
// parentheses, which may itself hold spaces and parentheses.
func parseStat(b []byte) (pid, parent int, seconds float64, ok bool) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return 0, 0, 0, false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b[:open])))
	rest := strings.Fields(string(b[end+1:])) // state, ppid, …, utime and stime at 11 and 12
	if err != nil || len(rest) < 13 {
		return 0, 0, 0, false
	}
	parent, err1 := strconv.Atoi(rest[1])
	user, err2 := strconv.ParseFloat(rest[11], 64)
	system, err3 := strconv.ParseFloat(rest[12], 64)
	return pid, parent, (user + system) / ticks, err1 == nil && err2 == nil && err3 == nil
}
