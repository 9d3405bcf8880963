package cachedir

import "testing"

func TestPath(t *testing.T) {
	for _, tc := range []struct{ name, xdg, home, want string }{
		{"as the XDG specification has it", "/var/cache/me", "/home/me", "/var/cache/me/justrl"},
		{"its default", "", "/home/me", "/home/me/.cache/justrl"},
		{"no home", "", "", ""},
		{"relative to nowhere", "cache", "/home/me", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Setenv("XDG_CACHE_HOME", tc.xdg)
			t.Setenv("HOME", tc.home)
			if got, err := Path(); got != tc.want || (err == nil) != (tc.want != "") {
				t.Errorf("%q (%v), want %q", got, err, tc.want)
			}
		})
	}
}
