package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/justrl/justrl/internal/atomicdir"
	"github.com/justrl/justrl/internal/endpoint"
)

// transfer is a file to bring.
type transfer struct {
	url  string
	name string // for progress
	size int64  // bytes; -1 if nobody knows
	sum  sum
	path string // where it goes; its part is kept at path.incomplete
	// locked: no other process has a lock on it now.
	locked bool
	// public: the token stays at home, whatever the address.
	public bool
	hint   func(*endpoint.StatusError, string) string
	move   string // what to do if the folder cannot be written
}

// progressed is how many bytes make an attempt a success in part: after it the
// patience with failures starts anew.
const progressed = 1 << 20

// bring continues or begins a transfer until all of the file is at t.path, checked
// and synced. On an error what has come stays, but for what is known to be wrong,
// and, where t is not locked, all of it: no other process could tell whose it is.
func (c *Client) bring(ctx context.Context, t transfer) (err error) {
	p, err := openPart(t.path, t.locked)
	if err != nil {
		return unwritable(filepath.Dir(t.path), t.move, err)
	}
	if err := c.fill(ctx, t, p); err != nil {
		return errors.Join(err, p.keep())
	}
	err = p.publish()
	if errors.Is(err, errTaken) && t.sum.checkFile(t.path, "") == nil {
		return nil // the other was as good
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", t.path, atomicdir.FullDisk(err))
	}
	return nil
}

// fill pulls until what p has hashes to t's checksum.
func (c *Client) fill(ctx context.Context, t transfer, p *part) error {
	for {
		if err := c.pull(ctx, t, p); err != nil {
			return err
		}
		got, err := t.sum.of(p.file)
		if err != nil || got == t.sum {
			return err
		}
		old := p.old
		if err := p.restart(); err != nil {
			return err
		}
		if old == 0 {
			return &ChecksumError{
				File: bare(t.url), Algorithm: t.sum.algorithm(), Want: string(t.sum), Got: string(got),
				Hint: "the server or a proxy between sends another file; nothing of it was kept",
			}
		}
		c.o.Notice(fmt.Sprintf("%s: what was there of it does not belong to it; fetching all of it", t.name))
	}
}

// pull fills p up to its end, with as many attempts as it takes.
func (c *Client) pull(ctx context.Context, t transfer, p *part) error {
	if t.size >= 0 && p.have > t.size {
		if err := p.restart(); err != nil {
			return err
		}
	}
	if err := room(t, p.have); err != nil {
		return err
	}
	p.old = p.have
	c.o.Progress(Progress{t.name, p.have, t.size})
	for t.size < 0 || p.have < t.size {
		before := p.have
		var broken error
		err := c.o.Retry.Do(ctx, func(ctx context.Context) error {
			err := c.attempt(ctx, t, p)
			if err != nil && endpoint.Retryable(err) && p.have-before >= progressed {
				broken = err
				return nil
			}
			return err
		})
		if err != nil || broken == nil {
			return err
		}
		c.o.Notice(fmt.Sprintf("going on with %s: %v", t.name, broken))
	}
	return nil
}

// room checks that the disk has place for what is still to come.
func room(t transfer, have int64) error {
	var fs unix.Statfs_t
	if t.size < 0 || unix.Statfs(filepath.Dir(t.path), &fs) != nil {
		return nil
	}
	if free := int64(fs.Bavail) * int64(fs.Bsize); free < t.size-have { //nolint:unconvert // other systems have other types
		return fmt.Errorf("%s: %w", t.path, atomicdir.FullDisk(fmt.Errorf("%d bytes are still to come, %d are free: %w", t.size-have, free, unix.ENOSPC)))
	}
	return nil
}

// attempt asks for what is missing, once, and writes what comes. A server that
// cannot give a part is asked for all of it.
func (c *Client) attempt(ctx context.Context, t transfer, p *part) error {
	ctx, watch := c.watched(ctx)
	defer watch.end()
	resp, size, err := c.ask(ctx, t, p)
	var no *RefusedError
	if errors.Is(err, errRange) || p.have > 0 && errors.As(err, &no) && no.Status.Status == http.StatusRequestedRangeNotSatisfiable {
		if err := p.restart(); err != nil {
			return err
		}
		resp, size, err = c.ask(ctx, t, p)
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // all that was wanted has been read
	watch.news(0)
	return c.write(t, p, resp, size, watch)
}

// ask sends the request for what is missing. The caller closes the reply that has it.
func (c *Client) ask(ctx context.Context, t transfer, p *part) (resp *http.Response, size int64, err error) {
	r := request{method: http.MethodGet, url: t.url, header: http.Header{}, hint: t.hint, public: t.public}
	if p.have > 0 {
		r.header.Set("Range", fmt.Sprintf("bytes=%d-", p.have))
	}
	if resp, err = c.send(ctx, r); err != nil {
		return nil, 0, err
	}
	if size, err = c.accept(t, p, resp); err != nil {
		return nil, 0, errors.Join(err, resp.Body.Close())
	}
	return resp, size, nil
}

// errRange is a reply that is another part than the one that was asked for.
var errRange = errors.New("is not the part that was asked for")

// accept looks at a reply's head: what part of the file it is, and of which size
// the whole is (-1 if it does not say).
func (c *Client) accept(t transfer, p *part, resp *http.Response) (size int64, err error) {
	bad := func(format string, args ...any) (int64, error) {
		return 0, &endpoint.ReplyError{Method: http.MethodGet, URL: bare(resp.Request.URL.String()), Err: fmt.Errorf(format, args...)}
	}
	if isPage(resp) && !strings.HasSuffix(t.path, ".html") && !strings.HasSuffix(t.name, ".html") {
		return bad("is a web page, not the file: a proxy or a log-in is between, or the address is wrong")
	}
	if enc := resp.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return bad("is compressed (%s) although that was not asked for", enc)
	}
	switch resp.StatusCode {
	case http.StatusOK: // all of it, from a server without ranges
		size = resp.ContentLength
	case http.StatusPartialContent:
		var from int64
		if from, size, err = contentRange(resp.Header.Get("Content-Range")); err != nil {
			return bad("%w: %w", errRange, err)
		}
		if from != p.have {
			return bad("%w: it begins at byte %d, not %d", errRange, from, p.have)
		}
	default:
		return bad("has the status %d, which is none of a file's", resp.StatusCode)
	}
	if t.size >= 0 && size >= 0 && size != t.size {
		return bad("is %d bytes long, expected are %d: the server contradicts itself, or another file is in its place", size, t.size)
	}
	if resp.StatusCode == http.StatusOK { // only now: a proxy's own words are no reason to give up what is there
		if err := p.restart(); err != nil {
			return 0, err
		}
	}
	return max(size, t.size), nil
}

// contentRange reads "bytes 7-41/42"; an unknown size (*) is -1.
func contentRange(s string) (from, size int64, err error) {
	bad := fmt.Errorf("has the Content-Range %q, which cannot be read", s)
	rest, ok := strings.CutPrefix(s, "bytes ")
	span, total, ok2 := strings.Cut(rest, "/")
	start, end, ok3 := strings.Cut(span, "-")
	if !ok || !ok2 || !ok3 {
		return 0, 0, bad
	}
	from, err = strconv.ParseInt(start, 10, 64)
	to, err2 := strconv.ParseInt(end, 10, 64)
	if err != nil || err2 != nil || from < 0 || to < from {
		return 0, 0, bad
	}
	if total == "*" {
		return from, -1, nil
	}
	if size, err = strconv.ParseInt(total, 10, 64); err != nil || size <= to {
		return 0, 0, bad
	}
	return from, size, nil
}

// write appends a body to what is there.
func (c *Client) write(t transfer, p *part, resp *http.Response, size int64, watch *watch) error {
	fail := func(err error) error {
		return &endpoint.ReplyError{Method: http.MethodGet, URL: bare(resp.Request.URL.String()), Err: err}
	}
	buf := make([]byte, 256<<10)
	for {
		n, err := resp.Body.Read(buf)
		if n > 0 {
			watch.news(n)
			if size >= 0 && p.have+int64(n) > size {
				return errors.Join(fail(fmt.Errorf("goes on beyond its %d bytes", size)), p.restart())
			}
			watch.pause()
			if _, err := p.file.WriteAt(buf[:n], p.have); err != nil {
				return fmt.Errorf("write %s: %w", p.name, atomicdir.FullDisk(err))
			}
			p.have += int64(n)
			c.o.Progress(Progress{t.name, p.have, max(size, t.size)})
			watch.resume()
		}
		switch ctx := resp.Request.Context(); {
		case err == nil && ctx.Err() == nil:
		case errors.Is(err, io.EOF) && (size < 0 || p.have == size):
			return nil
		case errors.Is(err, io.EOF):
			return fail(&cutError{p.have, size, err})
		case context.Cause(ctx) != nil:
			return stalled(resp.Request, fmt.Errorf("GET %s: %w", bare(resp.Request.URL.String()), context.Cause(ctx)))
		default:
			return fail(&cutError{p.have, size, err})
		}
	}
}
