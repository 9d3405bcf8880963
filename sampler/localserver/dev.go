package localserver

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// devRoutes are those that vLLM has in dev mode only.
func (s *Server) devRoutes(handle func(method, path string, h http.HandlerFunc)) {
	handle(http.MethodPost, "/pause", s.pause)
	handle(http.MethodPost, "/resume", func(w http.ResponseWriter, _ *http.Request) {
		s.gate.resume()
		writeJSON(w, map[string]string{"status": "resumed"})
	})
	handle(http.MethodGet, "/is_paused", func(w http.ResponseWriter, _ *http.Request) {
		paused, _, _ := s.gate.state()
		writeJSON(w, map[string]bool{"is_paused": paused})
	})
	handle(http.MethodPost, "/abort_requests", s.abortRequests)
	handle(http.MethodPost, "/reset_prefix_cache", s.resetPrefixCache)
	for _, path := range []string{"/reset_mm_cache", "/reset_encoder_cache"} { // there are none
		handle(http.MethodPost, path, func(http.ResponseWriter, *http.Request) {})
	}
	handle(http.MethodPost, "/collective_rpc", s.collectiveRPC)
	handle(http.MethodGet, "/weight_info", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, map[string]string{"weight_version": s.weightVersion()})
	})
	handle(http.MethodPost, "/update_weight_version", s.updateWeightVersion)
	handle(http.MethodPost, "/weight_checker", s.weightChecker)
	handle(http.MethodGet, "/get_world_size", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, map[string]int{"world_size": 1})
	})
	handle(http.MethodPost, "/sleep", s.sleep)
	handle(http.MethodPost, "/wake_up", s.wakeUp)
	handle(http.MethodGet, "/is_sleeping", func(w http.ResponseWriter, _ *http.Request) {
		_, sleeping, _ := s.gate.state()
		writeJSON(w, map[string]bool{"is_sleeping": sleeping})
	})
}

var modes = []string{"abort", "wait", "keep"}

// mode reads a pause mode of the query.
func mode(r *http.Request) (string, *refusal) {
	mode := r.URL.Query().Get("mode")
	if mode == "" && !r.URL.Query().Has("mode") {
		mode = "abort"
	}
	if slices.Contains(modes, mode) {
		return mode, nil
	}
	p := &problems{}
	p.add("literal_error", "query.mode", "Input should be 'abort', 'wait' or 'keep'", quoted(mode), `'expected': "'abort', 'wait' or 'keep'"`)
	return "", p.refusal()
}

// queryFlag reads a boolean of the query.
func queryFlag(r *http.Request, name string, otherwise bool) (bool, *refusal) {
	if !r.URL.Query().Has(name) {
		return otherwise, nil
	}
	value := r.URL.Query().Get(name)
	if on, ok := words[strings.ToLower(value)]; ok {
		return on, nil
	}
	p := &problems{}
	p.add("bool_parsing", "query."+name, "Input should be a valid boolean, unable to interpret input", quoted(value), "")
	return false, p.refusal()
}

func quoted(s string) []byte { return []byte(asciiString(s)) }

func (s *Server) pause(w http.ResponseWriter, r *http.Request) {
	mode, bad := mode(r)
	empty, unclear := queryFlag(r, "clear_cache", true)
	if bad == nil {
		bad = unclear
	}
	if bad != nil {
		bad.write(w)
		return
	}
	if err := s.gate.pause(r.Context(), mode); err != nil {
		asRefusal(err).write(w)
		return
	}
	if empty {
		s.o.Engine.ResetCache()
	}
	writeJSON(w, map[string]string{"status": "paused"})
}

func (s *Server) sleep(w http.ResponseWriter, r *http.Request) {
	level := 1
	if text := r.URL.Query().Get("level"); text != "" {
		var err error
		if level, err = strconv.Atoi(text); err != nil {
			p := &problems{}
			p.add("int_parsing", "query.level", "Input should be a valid integer, unable to parse string as an integer", quoted(text), "")
			p.refusal().write(w)
			return
		}
	}
	mode, bad := mode(r)
	if bad != nil {
		bad.write(w)
		return
	}
	if err := s.gate.pause(r.Context(), mode); err != nil {
		asRefusal(err).write(w)
		return
	}
	s.o.Engine.ResetCache()
	s.gate.mu.Change(func() { s.gate.sleeping = true })
	writeJSON(w, struct {
		Status string `json:"status"`
		Level  int    `json:"level"`
	}{"sleeping", level})
}

func (s *Server) wakeUp(w http.ResponseWriter, r *http.Request) {
	s.gate.resume()
	s.gate.mu.Change(func() { s.gate.sleeping = false })
	writeJSON(w, struct {
		Status string   `json:"status"`
		Tags   []string `json:"tags"`
	}{"awake", r.URL.Query()["tags"]})
}

// plainRefusal is a 400 in the words of a route itself.
func plainRefusal(message string) *refusal {
	return &refusal{status: http.StatusBadRequest, typ: "Bad Request", message: message}
}

func (s *Server) abortRequests(w http.ResponseWriter, r *http.Request) {
	body := s.read(w, r)
	if body == nil {
		return
	}
	scan := scanner{b: body}
	if !scan.document() {
		plainRefusal("Invalid JSON format").write(w)
		return
	}
	body = body[scan.space(0):]
	if kindOf(body) != kindObject {
		plainRefusal("Request body must be a JSON object").write(w)
		return
	}
	var ids []string
	if raw := object(body)["request_ids"]; kindOf(raw) == kindList {
		for _, id := range list(raw) {
			ids = append(ids, unquoteText(id))
		}
	} else if kindOf(raw) == kindString {
		ids = []string{unquote(raw)}
	}
	aborted := s.gate.abort(ids)
	if ids != nil {
		aborted = len(ids)
	}
	writeJSON(w, struct {
		Status  string `json:"status"`
		Aborted int    `json:"aborted"`
	}{"aborted", aborted})
}

func (s *Server) resetPrefixCache(w http.ResponseWriter, r *http.Request) {
	anyway, bad := queryFlag(r, "reset_running_requests", false)
	if bad != nil {
		bad.write(w)
		return
	}
	_, _, running := s.gate.state()
	ok := running == 0 || anyway
	if ok {
		s.o.Engine.ResetCache()
	}
	writeJSON(w, map[string]bool{"success": ok})
}

func (s *Server) weightVersion() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.version
}

func (s *Server) updateWeightVersion(w http.ResponseWriter, r *http.Request) {
	f := s.form(w, r, false)
	if f == nil {
		return
	}
	const name = "new_version"
	if _, ok := f.fields[name]; !ok {
		f.problems.add("missing", f.loc(name), "Field required", nil, "")
	}
	version := f.text(name, false)
	if bad := f.problems.refusal(); bad != nil {
		bad.write(w)
		return
	}
	s.mu.Lock()
	s.version = *version
	s.mu.Unlock()
	writeJSON(w, struct {
		Success    bool   `json:"success"`
		NewVersion string `json:"new_version"`
	}{true, *version})
}

func (s *Server) collectiveRPC(w http.ResponseWriter, r *http.Request) {
	body := s.read(w, r)
	if body == nil {
		return
	}
	scan := scanner{b: body}
	if !scan.document() {
		message := "JSON decode error: nested too deep"
		if scan.err != nil {
			at := characters(body, scan.err.at)
			before := string(body[:min(len(body), scan.err.at)])
			line, column := 1+strings.Count(before, "\n"), 1+len([]rune(before[strings.LastIndexByte(before, '\n')+1:]))
			message = fmt.Sprintf("JSON decode error: %s: line %d column %d (char %d)", scan.err.message, line, column, at)
		}
		plainRefusal(message).write(w)
		return
	}
	fields := map[string][]byte{}
	if body = body[scan.space(0):]; kindOf(body) == kindObject {
		fields = object(body)
	}
	failed := func(why string) {
		(&refusal{status: http.StatusInternalServerError, typ: "InternalServerError", message: "Call to collective_rpc method failed: Worker failed with error '" +
			why + "', please check the stack trace above for the root cause"}).write(w)
	}
	switch method := unquoteText(fields["method"]); method {
	case "":
		plainRefusal("Missing 'method' in request body").write(w)
	case "reload_weights":
		dir := ""
		if kindOf(fields["kwargs"]) == kindObject {
			dir = unquoteText(object(fields["kwargs"])["weights_path"])
		}
		if err := s.reload(r, dir); err != nil {
			failed(err.Error())
			return
		}
		writeJSON(w, map[string][]any{"results": {nil}})
	default:
		failed("'CPUWorker' object has no attribute '" + method + "'")
	}
}

// reload loads the weights of a folder, "" for those loaded last. The folder
// becomes the default of later calls.
func (s *Server) reload(r *http.Request, dir string) error {
	s.mu.Lock()
	if dir == "" {
		dir = s.root
	}
	s.mu.Unlock()
	if err := s.o.Engine.Load(r.Context(), dir); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.root = dir
	return nil
}

func (s *Server) weightChecker(w http.ResponseWriter, r *http.Request) {
	f := s.form(w, r, false)
	if f == nil {
		return
	}
	const name = "action"
	action := unquoteText(f.fields[name])
	if raw, ok := f.fields[name]; !ok {
		f.problems.add("missing", f.loc(name), "Field required", nil, "")
	} else if !slices.Contains([]string{"checksum", "reset", "compare"}, action) {
		f.problems.add("literal_error", f.loc(name), "Input should be 'checksum', 'reset' or 'compare'", raw, `'expected': "'checksum', 'reset' or 'compare'"`)
	}
	baseline, given := f.object("baseline")
	if bad := f.problems.refusal(); bad != nil {
		bad.write(w)
		return
	}
	switch {
	case action == "reset":
		(&refusal{status: http.StatusNotImplemented, typ: "NotImplementedError", message: "this server does not reset weights: reload them"}).write(w)
		return
	case action == "compare" && !given:
		plainRefusal("action='compare' requires a 'baseline' object").write(w)
		return
	}
	sums, err := s.o.Engine.Checksums(r.Context())
	if err != nil {
		asRefusal(err).write(w)
		return
	}
	if action == "checksum" {
		writeJSON(w, map[string]map[string]string{"checksums": sums})
		return
	}
	mismatches := []string{}
	for key, sum := range sums {
		if raw, ok := baseline[key]; !ok || unquoteText(raw) != sum {
			mismatches = append(mismatches, key)
		}
	}
	for key := range baseline {
		if _, ok := sums[key]; !ok {
			mismatches = append(mismatches, key)
		}
	}
	slices.Sort(mismatches)
	writeJSON(w, struct {
		Match      bool     `json:"match"`
		Mismatches []string `json:"mismatches"`
	}{len(mismatches) == 0, mismatches})
}
