package sha256pair

// interleaves says whether this processor has what blocks needs.
var interleaves = hasSHA()

// blocks adds n blocks at pa to the sum a, and n at pb to b.
//
//go:noescape
func blocks(a, b *[8]uint32, pa, pb *byte, n int)

// hasSHA asks for SSSE3, SSE4.1 and the SHA extensions.
func hasSHA() bool
