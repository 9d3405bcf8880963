package fleet

import "time"

// MemberStats is what a member does and has done.
type MemberStats struct {
	Name string `json:"name"`
	// Version is that of the weights which it serves, or last served; 0 before
	// it was first admitted.
	Version int64 `json:"version"`
	// Fenced tells that nothing is asked of it, and Why for what reason, nil where it is not fenced.
	Fenced bool  `json:"fenced"`
	Why    error `json:"-"`
	// Since is when it was fenced or admitted.
	Since time.Time `json:"since"`
	// InFlight is the samples under way, Limit the most at present.
	InFlight int `json:"in_flight"`
	Limit    int `json:"limit"`
	// Oldest is when the request began that has been under way longest; zero where none is.
	Oldest time.Time `json:"oldest,omitzero"`
	// What follows counts since the fleet began.

	Requests   int64 `json:"requests"`   // sent to it
	Samples    int64 `json:"samples"`    // that it gave
	Tokens     int64 `json:"tokens"`     // of those
	Requeued   int64 `json:"requeued"`   // samples asked of it that had to be asked for again
	Pressure   int64 `json:"pressure"`   // times that it asked for less (429, 503 with Retry-After)
	Stragglers int64 `json:"stragglers"` // its requests that were reported as such
	Fencings   int64 `json:"fencings"`
	// Busy is the time in which a request was under way at it.
	Busy time.Duration `json:"busy"`
}

// maxStrikes is how often in a row a member may fail in ways that pass (500,
// aborted samples) before it is fenced.
const maxStrikes = 3

// The waits after a failure or a refusal that names none.
const (
	firstRest = 500 * time.Millisecond
	mostRest  = 20 * time.Second
)

// member is a server as the fleet has it; the fleet's lock guards it.
type member struct {
	Member
	limiter
	version int64
	why     error // why it is out; nil while it is admitted
	since   time.Time
	pieces  map[*piece]struct{} // under way
	running int                 // their samples
	busy    time.Time           // since when there are some
	pace    pace
	speed   float64 // over the median member's, by pace

	resting time.Time // until when nothing is asked of it
	strikes int       // failures in a row that may pass
	struck  time.Time // when the last of them came
	refused time.Time // since when it has refused everything; zero if its last answer was none
	rests   int       // waits in a row whose length was ours to choose

	count MemberStats // the counters alone
}

func newMember(m Member, most int) *member {
	return &member{
		Member: m, limiter: newLimiter(most),
		speed: 1, why: ErrNotLoaded, since: time.Now(), pieces: map[*piece]struct{}{},
	}
}

func (m *member) admit(version int64) {
	m.version, m.why, m.since, m.resting = version, nil, time.Now(), time.Time{}
	m.pace.fade()
	m.wellAgain()
}

func (m *member) fence(err error) {
	m.why, m.since = err, time.Now()
	m.count.Fencings++
}

// wellAgain forgets failures: it has answered, or was loaded anew. A wait that
// it asked for holds.
func (m *member) wellAgain() {
	m.strikes, m.rests, m.refused = 0, 0, time.Time{}
}

// release forgets what was under way.
func (m *member) release() {
	clear(m.pieces)
	m.carry(-m.running, time.Now())
	m.restart()
}

// carry has so many samples more under way at it, or fewer.
func (m *member) carry(samples int, now time.Time) {
	if m.running == 0 {
		m.busy = now
	}
	m.running += samples
	if m.running == 0 {
		m.count.Busy += now.Sub(m.busy)
	}
}

// serves tells whether it may be asked for version; 0 is any.
func (m *member) serves(version int64) bool {
	return m.why == nil && (version == 0 || version == m.version)
}

// room is how many samples it can be asked for at present: up to the limit that
// is tried while the fleet is busy, else up to the proven one.
func (m *member) room(now time.Time, busy bool) int {
	if m.resting.After(now) {
		return 0
	}
	limit := m.limit
	if !busy {
		limit = min(limit, m.proven())
	}
	return max(0, limit-m.running)
}

// strike counts a failure that may pass; all requests that were under way when
// one came are that one. It tells whether that is too many.
func (m *member) strike(begun, now time.Time) (out bool) {
	if m.strikes > 0 && !begun.After(m.struck) {
		return false
	}
	m.strikes++
	m.struck = now
	m.rest(0, now)
	return m.strikes >= maxStrikes
}

// rest lets it alone for d, or for a while of our choice where d is 0.
func (m *member) rest(d time.Duration, now time.Time) {
	if d <= 0 {
		d = min(mostRest, firstRest<<min(m.rests, 10))
		m.rests++
	}
	if until := now.Add(d); until.After(m.resting) {
		m.resting = until
	}
}

func (m *member) stats() MemberStats {
	s := m.count
	s.Name, s.Version, s.Fenced, s.Why, s.Since = m.Name, m.version, m.why != nil, m.why, m.since
	s.InFlight, s.Limit = m.running, m.limit
	if m.running > 0 {
		s.Busy += time.Since(m.busy)
	}
	for p := range m.pieces {
		if s.Oldest.IsZero() || p.begun.Before(s.Oldest) {
			s.Oldest = p.begun
		}
	}
	return s
}
