package agent

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/justrl/justrl/bridge/share"
	"github.com/justrl/justrl/internal/endpoint"
)

// span is a row of chunks of one file that are missing.
type span struct {
	file        *share.File
	first, last int
	write       func(b []byte, offset int64) error
}

// fetcher brings spans over HTTP.
type fetcher struct {
	trainer *endpoint.Endpoint
	m       *share.Manifest
	stall   time.Duration // without a byte, after which a request is given up and made again
	retry   endpoint.Retry
	fetched *atomic.Int64
}

const (
	// progressed is how many bytes make a request that broke off a success in
	// part: after it the patience with failures starts anew.
	progressed = 64 << 10
	// lies is how often one chunk may come with other bytes than its hash says.
	lies = 3
)

// bring fetches all chunks of s, checks each, and writes it. What has come of a
// chunk when a connection is cut is kept, so that any progress is progress.
func (f *fetcher) bring(ctx context.Context, s span) error {
	at, wrong := s.first, 0
	part := make([]byte, 0, f.m.ChunkSize)
	for at <= s.last {
		err := f.retry.Do(ctx, func(ctx context.Context) error {
			came, err := f.once(ctx, s, &at, &part, &wrong)
			if came >= progressed && endpoint.Retryable(err) {
				return nil
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// once makes one request for what is missing of s. at is the chunk that is
// next, part what is there of it.
func (f *fetcher) once(ctx context.Context, s span, at *int, part *[]byte, wrong *int) (came int64, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	alarm := time.AfterFunc(f.stall, func() { cancel(&endpoint.TimeoutError{After: f.stall}) })
	defer alarm.Stop()

	begin, _ := f.m.Chunk(s.file, *at)
	from := begin + int64(len(*part))
	last, size := f.m.Chunk(s.file, s.last)
	end := last + size // exclusive
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.trainer.URL()+filePath(f.m.Version, s.file.Name), nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", from, end-1))
	resp, err := f.trainer.Send(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	bad := func(err error) error {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return &endpoint.ReplyError{Method: req.Method, URL: req.URL.String(), Err: err}
	}
	want := fmt.Sprintf("bytes %d-%d/%d", from, end-1, s.file.Size)
	if got := resp.Header.Get("Content-Range"); resp.StatusCode != http.StatusPartialContent || got != want {
		return 0, bad(fmt.Errorf("asked for %s, got status %d and %.80q: something between here and the trainer does not pass ranges on", want, resp.StatusCode, got))
	}
	for *at <= s.last {
		alarm.Reset(f.stall)
		offset, size := f.m.Chunk(s.file, *at)
		b := (*part)[:size]
		n, err := resp.Body.Read(b[len(*part):])
		came += int64(n)
		f.fetched.Add(int64(n))
		*part = b[:len(*part)+n]
		if int64(len(*part)) == size {
			if sha256.Sum256(b) != s.file.Chunks[*at] {
				*part = (*part)[:0]
				if *wrong++; *wrong >= lies {
					return came, bad(fmt.Errorf("the bytes from %d to %d have another SHA-256 than the manifest says, %d times: the file has changed, or is changed on its way", offset, offset+size-1, lies))
				}
				return came, bad(io.ErrUnexpectedEOF) // as good as cut
			}
			if err := s.write(b, offset); err != nil {
				return came, err
			}
			*at, *part, *wrong = *at+1, (*part)[:0], 0
			continue
		}
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return came, bad(err)
		}
	}
	return came, nil
}

// filePath is where the trainer has a file; each part of its name is escaped.
func filePath(version int64, name string) string {
	parts := strings.Split(name, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return manifestPath(version) + "/" + strings.Join(parts, "/")
}

func manifestPath(version int64) string { return fmt.Sprintf("/v1/snapshots/%d", version) }
