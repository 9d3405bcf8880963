package guard

import (
	"encoding/json"
	"net/http"
)

// Refuse answers with a status and a reason, in the shape that internal/endpoint reads.
func Refuse(w http.ResponseWriter, status int, why string) {
	type fault struct {
		Message string `json:"message"`
	}
	Reply(w, status, struct {
		Error fault `json:"error"`
	}{fault{why}})
}

// Reply answers with a status and JSON.
func Reply(w http.ResponseWriter, status int, body any) {
	b, err := json.Marshal(body)
	if err != nil { // a type that cannot be JSON is a bug
		http.Error(w, "the answer could not be written as JSON", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // the client may be gone
}
