//go:build !amd64

package sha256pair

var interleaves = false

func blocks(_, _ *[8]uint32, _, _ *byte, _ int) { panic("sha256pair: not on this processor") }
