package bridge

import (
	"context"
	"maps"
)

// member is a deployment with what is known of it.
type member struct {
	Deployment               // Rejoin changes it, in the member's turn and under the bridge's lock
	use        chan struct{} // holds one: the turn to ask its Publisher and its Server
	canary     canary        // whoever has the turn may use it, and seen and broken
	seen       *observation  // by the last Check, until the server is loaded again
	broken     bool          // a load failed: it may hold half of a model, or be paused

	// Under the bridge's lock:
	fenced error                // why; nil while it is live
	told   bool                 // OnFenced knows
	report ServerReport         // of the last Rejoin
	sums   *sums                // its checksums of version sumsOf; nil if it offers none
	sumsOf int64                //
	alike  map[*member]struct{} // those that had the same checksums once, for the same version
}

func newMember(d Deployment, l Limits) *member {
	m := &member{Deployment: d, use: make(chan struct{}, 1), canary: canary{server: d.Name, limits: l}, fenced: d.Down, alike: map[*member]struct{}{}}
	m.use <- struct{}{}
	return m
}

// down is why a deployment cannot be asked at all: nil if it can.
func (m *member) down() error {
	if m.Publisher == nil {
		return m.Down
	}
	return nil
}

// alone runs do in the member's turn.
func (m *member) alone(ctx context.Context, do func() error) error {
	select {
	case <-m.use:
	default:
		select {
		case <-m.use:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	defer func() { m.use <- struct{}{} }()
	return do()
}

// load is the Publisher's, remembering whether it came to its end; its error is a [*LoadError].
func (m *member) load(ctx context.Context, s Snapshot) error {
	err := m.Publisher.Load(ctx, s)
	if m.broken = err != nil; m.broken {
		return &LoadError{err}
	}
	return nil
}

// named is the deployment of a name; nil if there is none.
func (b *Bridge) named(name string) *member {
	for _, m := range b.members {
		if m.Name == name {
			return m
		}
	}
	return nil
}

// compareAll learns which servers have the same checksums for the same version:
// such a one can be held against its sibling later. b.mu is held.
func (b *Bridge) compareAll(version int64) {
	for i, m := range b.members {
		for _, o := range b.members[:i] {
			if m.sumsOf == version && o.sumsOf == version && m.sums.same(o.sums) {
				m.alike[o], o.alike[m] = struct{}{}, struct{}{}
			}
		}
	}
}

// expected are the checksums that a member must show of a version, as far as
// itself or a sibling has shown them; nil if nobody has. b.mu is held.
func (b *Bridge) expected(m *member, version int64) *sums {
	if m.sumsOf == version {
		return m.sums
	}
	for o := range m.alike {
		if o.fenced == nil && o.sumsOf == version {
			return o.sums
		}
	}
	return nil
}

// same tells whether there are checksums on both sides and all are equal.
func (s *sums) same(o *sums) bool {
	return s != nil && o != nil && len(s.of) > 0 && maps.Equal(s.of, o.of)
}
