package engine

// pool hands out the blocks of a cache. A block may be shared: it is free
// again when all who hold it have let go.
type pool struct {
	free []int32 // the next one to give out is the last
	refs []int32
}

func newPool(n int) *pool {
	p := &pool{refs: make([]int32, n)}
	for b := n - 1; b >= 0; b-- {
		p.free = append(p.free, int32(b))
	}
	return p
}

// take gives a free block; there must be one.
func (p *pool) take() int32 {
	b := p.free[len(p.free)-1]
	p.free = p.free[:len(p.free)-1]
	p.refs[b] = 1
	return b
}

// share makes one more hold each of blocks.
func (p *pool) share(blocks []int32) {
	for _, b := range blocks {
		p.refs[b]++
	}
}

// release lets go of blocks.
func (p *pool) release(blocks []int32) {
	for _, b := range blocks {
		if p.refs[b]--; p.refs[b] == 0 {
			p.free = append(p.free, b)
		}
	}
}

// usage is the share of blocks that somebody holds.
func (p *pool) usage() float64 { return 1 - float64(len(p.free))/float64(len(p.refs)) }

// blocksFor is how many blocks hold n tokens.
func blocksFor(n int) int { return (n + BlockTokens - 1) / BlockTokens }
