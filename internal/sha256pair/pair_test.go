package sha256pair

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"hash"
	"math/rand/v2"
	"testing"
)

// held fails unless both sums are those that crypto/sha256 gives of before and then p.
func held(t *testing.T, beforeA, beforeB, p []byte) {
	t.Helper()
	a, b := sha256.New(), sha256.New()
	a.Write(beforeA)
	b.Write(beforeB)
	if err := Write(a, b, p); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		got    hash.Hash
		before []byte
	}{"a": {a, beforeA}, "b": {b, beforeB}} {
		want := sha256.Sum256(append(bytes.Clone(c.before), p...))
		if got := c.got.Sum(nil); !bytes.Equal(got, want[:]) {
			t.Errorf("%s of %d and then %d bytes is %x, want %x", name, len(c.before), len(p), got, want)
		}
		c.got.Write([]byte("more")) // the sum goes on
		want = sha256.Sum256(append(append(bytes.Clone(c.before), p...), "more"...))
		if got := c.got.Sum(nil); !bytes.Equal(got, want[:]) {
			t.Errorf("%s of %d and then %d bytes and more is %x, want %x", name, len(c.before), len(p), got, want)
		}
	}
}

func random(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(b)
	return b
}

// Every phase of the one sum's blocks against every phase of the other's.
func TestWriteAtEveryPhase(t *testing.T) {
	all := random(worth + 200)
	for a := range 65 {
		for b := range 65 {
			held(t, all[:a], all[:b], all[200-b:])
		}
	}
}

func TestWriteOfEverySize(t *testing.T) {
	all := random(worth + 300)
	for n := worth - 130; n <= len(all); n++ {
		held(t, all[:7], nil, all[:n])
	}
	for n := range 130 {
		held(t, nil, all[:9], all[:n])
	}
}

// Without the SHA extensions the sums are the same.
func TestWriteWithoutInterleaving(t *testing.T) {
	if !interleaves {
		t.Skip("SKIPPED: this processor cannot interleave, all the other tests do this one's")
	}
	defer func(was bool) { interleaves = was }(interleaves)
	interleaves = false
	held(t, []byte("a"), []byte("bc"), random(worth*3+1))
}

func TestWriteRefusesOtherSums(t *testing.T) {
	if !interleaves {
		t.Skip("SKIPPED: this processor cannot interleave, and any sum does")
	}
	for _, h := range []hash.Hash{md5.New(), sha256.New224()} {
		if Write(h, sha256.New(), random(worth)) == nil || Write(sha256.New(), h, random(worth)) == nil {
			t.Errorf("%T is taken", h)
		}
	}
}

func FuzzWrite(f *testing.F) {
	f.Add([]byte("a"), []byte(""), uint16(1), []byte("xyz"))
	f.Fuzz(func(t *testing.T, a, b []byte, times uint16, p []byte) {
		held(t, a, b, bytes.Repeat(p, int(times)%2000))
	})
}

// BenchmarkWrite is of two sums; BenchmarkTwice is what they cost one after the other.
func BenchmarkWrite(b *testing.B) {
	p, x, y := random(1<<20), sha256.New(), sha256.New()
	x.Write([]byte("another phase"))
	b.SetBytes(1 << 20)
	for b.Loop() {
		if err := Write(x, y, p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTwice(b *testing.B) {
	p, x, y := random(1<<20), sha256.New(), sha256.New()
	b.SetBytes(1 << 20)
	for b.Loop() {
		x.Write(p)
		y.Write(p)
	}
}
