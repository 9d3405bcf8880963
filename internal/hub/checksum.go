package hub

import (
	"crypto/sha1" //nolint:gosec // git's, to recognise a file with, not to trust a stranger by
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
	"regexp"
	"strings"
)

// Algorithms of a Sum.
const (
	sha256Name  = "SHA-256"
	gitSHA1Name = "git SHA-1"
)

var sumPattern = regexp.MustCompile(`^(?:[0-9a-f]{40}|[0-9a-f]{64})$`)

// sum is what a file must hash to, in lower-case hexadecimal: 64 digits are a
// SHA-256, 40 git's SHA-1 of a blob. "" is unknown.
type sum string

// etagSum reads an entity tag; the hub's are checksums.
func etagSum(etag string) (sum, error) {
	s := strings.Trim(strings.TrimPrefix(etag, "W/"), `"`)
	if !sumPattern.MatchString(s) {
		return "", fmt.Errorf("its ETag %q is no checksum, so that the file could not be checked", etag)
	}
	return sum(s), nil
}

func (s sum) algorithm() string {
	if len(s) == 40 {
		return gitSHA1Name
	}
	return sha256Name
}

// of hashes all of a file as s is hashed. It reads from the start, whatever the
// file's offset is.
func (s sum) of(f *os.File) (sum, error) {
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	var h hash.Hash
	if len(s) == 40 {
		h = sha1.New() //nolint:gosec // as above
		fmt.Fprintf(h, "blob %d\x00", info.Size())
	} else {
		h = sha256.New()
	}
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, info.Size())); err != nil {
		return "", err
	}
	return sum(hex.EncodeToString(h.Sum(nil))), nil
}

// checkFile says whether the file at path hashes to s; its error is a [ChecksumError] if not.
func (s sum) checkFile(path, hint string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read only
	got, err := s.of(f)
	if err != nil {
		return err
	}
	if got != s {
		return &ChecksumError{File: path, Algorithm: s.algorithm(), Want: string(s), Got: string(got), Hint: hint}
	}
	return nil
}

// CheckFile hashes a file and returns a [ChecksumError] with the hint if its
// SHA-256, in hexadecimal, is another.
func CheckFile(path, sha256, hint string) error { return sum(sha256).checkFile(path, hint) }
