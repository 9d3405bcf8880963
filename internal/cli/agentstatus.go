package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/justrl/justrl/bridge/agent"
	bridgevllm "github.com/justrl/justrl/bridge/vllm"
	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/internal/numerals"
	"github.com/justrl/justrl/sampler"
)

// besides is what doctor says of the agent beside a server.
type besides struct {
	URL     string `json:"url"`
	Answers bool   `json:"answers"`
	// Token is "works", "refused", or "not asked for"; "" where the agent does not answer.
	Token string `json:"token,omitempty"`
	// Status is the agent's own words; nil where it gives none.
	Status *agent.Status `json:"status,omitempty"`
}

// What an agent makes of the token.
const (
	tokenWorks   = "works"
	tokenRefused = "refused"
	tokenUnasked = "not asked for"
)

// lookAtAgent asks an agent what it is, with the token and, if that is let in, without
// one. The error is why it cannot load its server.
func lookAtAgent(ctx context.Context, e *endpoint.Endpoint, how endpoint.Options) (*besides, error) {
	b := &besides{URL: e.URL()}
	is, err := askAgent(ctx, e)
	var fault *agent.Error
	switch status := endpoint.StatusOf(err); {
	case err == nil || errors.As(err, &fault):
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		b.Answers, b.Token = true, tokenRefused
		return b, refusedByAgent(e, err)
	default:
		b.Answers = status != 0
		return b, err
	}
	b.Answers, b.Token, b.Status = true, tokenWorks, &is
	how.APIKey = ""
	stranger, anonymous := endpoint.New(e.URL(), how)
	if anonymous != nil {
		return b, anonymous
	}
	defer stranger.Close()
	if _, anonymous = askAgent(ctx, stranger); endpoint.StatusOf(anonymous) == 0 {
		b.Token = tokenUnasked
	}
	return b, err
}

// rows are the agent's part of a server's table.
func (b *besides) rows() [][2]string {
	rows := [][2]string{{"agent", b.URL}, {"agent answers", yesNo(b.Answers)}}
	if !b.Answers {
		return rows
	}
	rows = append(rows, [2]string{"agent's token", cmp.Or(b.Token, "not tried")})
	if b.Status == nil {
		return rows
	}
	into := cmp.Or(b.Status.Server, "unknown")
	if b.Status.Way != "" {
		into += ", by " + b.Status.Way
	}
	return append(rows, [2]string{"agent loads into", into}, [2]string{"agent fetches from", b.Status.Trainer},
		[2]string{"agent's folder", b.Status.Dir + ", " + numerals.CountOf(len(b.Status.Have), "snapshot")})
}

// reached is what the server is through its agent, which may reach routes that
// are closed to us, and refuses a server whose agent does not answer or cannot load it.
func (s *server) reached(ctx context.Context, i sampler.Info) (sampler.Info, error) {
	is, err := askAgent(ctx, s.agent)
	if err = refusedByAgent(s.agent, err); err != nil {
		err = fmt.Errorf("the agent of %s: %w", s.name, err)
	}
	return byAgent(i, &is), err
}

func askAgent(ctx context.Context, e *endpoint.Endpoint) (is agent.Status, err error) {
	err = probing.Do(ctx, func(ctx context.Context) (err error) {
		is, err = agent.AskStatus(ctx, e)
		return err
	})
	return is, err
}

// byAgent is what a server is through an agent of that status, nil if it gave none.
func byAgent(i sampler.Info, is *agent.Status) sampler.Info {
	i.DevMode = true
	if is != nil && is.Fault == nil {
		i.Loads = []string{cmp.Or(is.Way, bridgevllm.WayFiles)} // an agent of an older release does not say
	}
	return i
}

// refusedByAgent is an agent's error, with what to do about a token that it refuses.
func refusedByAgent(e *endpoint.Endpoint, err error) error {
	if s := endpoint.StatusOf(err); s == http.StatusUnauthorized || s == http.StatusForbidden {
		return &sampler.CannotError{URL: e.URL(), What: "the agent refuses the token", Hint: "give that of its own --token-file with --share-token-file FILE or " + tokenVariable}
	}
	return err
}

// takesAgent is nil if the server has no agent, or is of the kind that one can load.
func (s *server) takesAgent(d dialect) error {
	if s.agent == nil || d.name == sampler.DialectVLLM {
		return nil
	}
	return &sampler.CannotError{URL: s.endpoint.URL(), What: "is no vLLM, and justrl agent loads no other kind", Hint: "leave out its --agent"}
}
