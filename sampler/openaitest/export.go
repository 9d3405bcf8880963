package openaitest

import "github.com/justrl/justrl/sampler/localserver"

// NewEngine is the policy of a [Server] without its HTTP, for fakes of servers
// that speak another dialect: the same options give the same tokens.
func NewEngine(o Options) localserver.Engine { return newEngine(withDefaults(o)) }
