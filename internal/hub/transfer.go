package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
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
	hint func(*endpoint.StatusError, string) string
	move string // what to do if the folder cannot be written
}

func (t transfer) partial() string { return t.path + ".incomplete" }

// progressed is how many bytes make an attempt a success in part: after it the
// patience with failures starts anew.
const progressed = 1 << 20

// bring continues or begins a transfer until all of the file is at t.path, checked
// and synced. The caller has the lock. On an error what has come stays, but for
// what is known to be wrong.
func (c *Client) bring(ctx context.Context, t transfer) (err error) {
	f, err := os.OpenFile(t.partial(), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return unwritable(filepath.Dir(t.path), t.move, err)
	}
	defer func() {
		if f == nil {
			return
		}
		if info, statErr := f.Stat(); statErr == nil && info.Size() == 0 {
			err = errors.Join(err, gone(os.Remove(t.partial())))
		}
		err = errors.Join(err, f.Close())
	}()
	for {
		old, err := c.pull(ctx, t, f)
		if err != nil {
			return err
		}
		got, err := t.sum.of(f)
		if err != nil {
			return err
		}
		if got == t.sum {
			break
		}
		if err := f.Truncate(0); err != nil {
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
	err = errors.Join(f.Sync(), f.Close())
	f = nil
	if err == nil {
		err = os.Rename(t.partial(), t.path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", t.path, atomicdir.FullDisk(err))
	}
	return nil
}

// gone forgives that what was to be removed is not there.
func gone(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// pull fills f up to its end, with as many attempts as it takes. old is how many
// of its bytes were not sent by this call.
func (c *Client) pull(ctx context.Context, t transfer, f *os.File) (old int64, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	p := &part{file: f, have: info.Size()}
	if t.size >= 0 && p.have > t.size {
		if err := p.restart(); err != nil {
			return 0, err
		}
	}
	if err := room(t, p.have); err != nil {
		return 0, err
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
		if err != nil {
			return 0, err
		}
		if broken == nil {
			break
		}
		c.o.Notice(fmt.Sprintf("going on with %s: %v", t.name, broken))
	}
	return p.old, nil
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

// part is what is there of a file. Bytes are written where they belong, not where
// an offset happens to be: two writers without a lock do no harm.
type part struct {
	file *os.File
	have int64
	old  int64 // of have: not sent by this process
}

func (p *part) restart() error {
	p.have, p.old = 0, 0
	return p.file.Truncate(0)
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
	return c.write(t, p, resp, size, watch)
}

// ask sends the request for what is missing. The caller closes the reply that has it.
func (c *Client) ask(ctx context.Context, t transfer, p *part) (resp *http.Response, size int64, err error) {
	r := request{method: http.MethodGet, url: t.url, header: http.Header{}, hint: t.hint}
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
	case http.StatusOK:
		if err := p.restart(); err != nil { // a server without ranges sends all of it
			return 0, err
		}
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
	return max(size, t.size), nil
}

// contentRange reads "bytes 7-41/42"; an unknown size (*) is -1.
func contentRange(s string) (from, size int64, err error) {
	bad := fmt.Errorf("has the Content-Range %q, which cannot be read", s)
	span, total, ok := strings.Cut(strings.TrimPrefix(s, "bytes "), "/")
	start, _, ok2 := strings.Cut(span, "-")
	if !ok || !ok2 || !strings.HasPrefix(s, "bytes ") {
		return 0, 0, bad
	}
	if from, err = strconv.ParseInt(start, 10, 64); err != nil || from < 0 {
		return 0, 0, bad
	}
	if total == "*" {
		return from, -1, nil
	}
	if size, err = strconv.ParseInt(total, 10, 64); err != nil || size < 0 {
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
			watch.news()
			if size >= 0 && p.have+int64(n) > size {
				return errors.Join(fail(fmt.Errorf("goes on beyond its %d bytes", size)), p.restart())
			}
			if _, err := p.file.WriteAt(buf[:n], p.have); err != nil {
				return fmt.Errorf("write %s: %w", t.partial(), atomicdir.FullDisk(err))
			}
			p.have += int64(n)
			c.o.Progress(Progress{t.name, p.have, max(size, t.size)})
		}
		switch ctx := resp.Request.Context(); {
		case err == nil:
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
