package cli

import (
	"io"
	"log/slog"
	"os"
	"strings"
)

// The values of run --log.
const (
	logText = "text"
	logJSON = "json"
)

// logsJSON tells whether a command line asks for JSON on stderr, whatever else is
// wrong with it: its last error is an object then, too.
func logsJSON(args []string) bool {
	if len(args) < 2 || args[1] != "run" {
		return false
	}
	format := os.Getenv("JUSTRL_LOG")
	for i, arg := range args {
		name, value, joined := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if !strings.HasPrefix(arg, "-") || name != "log" {
			continue
		}
		if !joined && i+1 < len(args) {
			value = args[i+1]
		}
		format = value
	}
	return format == logJSON
}

// failedJSON says the error that a command ends with as one object, on the one
// line that the command writes last.
func failedJSON(w io.Writer, code int, err error) {
	msg := "failed"
	switch code {
	case ExitUsage:
		msg = "bad usage"
	case ExitInterrupted:
		msg = "interrupted"
	}
	slog.New(slog.NewJSONHandler(w, nil)).Error(msg, "err", err.Error(), "exit_code", code)
}

// notices says what a user should know, before there is anything to show progress of.
func notices(w io.Writer, format string) func(line string) {
	if format != logJSON {
		return lines(w)
	}
	log := slog.New(slog.NewJSONHandler(w, nil))
	return func(line string) { log.Warn(line) }
}
