package childenv

import (
	"slices"
	"strings"
	"testing"
)

func TestEnviron(t *testing.T) {
	for _, name := range secrets {
		t.Setenv(name, "hunter2")
	}
	t.Setenv("JUSTRL_API_KEY_FILE", "/key")
	t.Setenv("JUSTRL_SERVER", "http://h:1")
	env := Environ()
	for _, v := range env {
		if strings.Contains(v, "hunter2") {
			t.Errorf("%s is passed on", v)
		}
	}
	for _, want := range []string{"JUSTRL_API_KEY_FILE=/key", "JUSTRL_SERVER=http://h:1"} {
		if !slices.Contains(env, want) {
			t.Errorf("%s is not passed on", want)
		}
	}
}
