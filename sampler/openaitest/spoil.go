package openaitest

// spoil makes a right reply wrong.
func spoil(reply *completionReply, f Fault, o Options) {
	i := min(f.Sample, len(reply.Choices)-1)
	c := &reply.Choices[i]
	switch f.Kind {
	case FaultAbort:
		c.FinishReason = "abort"
		keep := len(c.TokenIDs) / 2
		c.TokenIDs = c.TokenIDs[:keep]
		if c.Logprobs != nil {
			c.Logprobs.TokenLogprobs = c.Logprobs.TokenLogprobs[:keep]
		}
	case FaultDrop:
		reply.Choices = append(reply.Choices[:i], reply.Choices[i+1:]...)
	case FaultTwice:
		c.Index = reply.Choices[(i+1)%len(reply.Choices)].Index
	case FaultShort:
		if c.Logprobs != nil {
			c.Logprobs.TokenLogprobs = c.Logprobs.TokenLogprobs[1:]
		}
	case FaultVocab:
		c.TokenIDs[0] = int32(o.Vocab)
	case FaultEmpty:
		c.TokenIDs = []int32{}
	case FaultNoIDs:
		c.TokenIDs = nil
	case FaultEcho:
		c.PromptTokenIDs = append([]int32{c.PromptTokenIDs[0] + 1}, c.PromptTokenIDs[1:]...)
	case FaultFinish:
		c.FinishReason = "content_filter"
	case FaultLong:
		for range 1 + o.MaxModelLen {
			c.TokenIDs = append(c.TokenIDs, 5)
			if c.Logprobs != nil {
				c.Logprobs.TokenLogprobs = append(c.Logprobs.TokenLogprobs, -1)
			}
		}
	}
}
