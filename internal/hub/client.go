package hub

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/bitdistill/bitdistill/internal/tensorfile"
)

const (
	minChunk     = 64 << 10 // bytes that must come within pace.stall, else the link counts as dead
	minProgress  = 1 << 20  // bytes after which failures are counted anew, so that their number is bounded by the size
	maxRedirects = 10
)

// client talks to the hub about one repository.
type client struct {
	*settings
	id      ID
	http    *http.Client
	reached bool // the server has answered at least once
}

func newClient(s *settings, id ID) *client {
	c := &client{settings: s, id: id}
	c.http = &http.Client{CheckRedirect: c.redirect, Transport: s.transport}
	return c
}

// errRedirect is in the way of a redirect that is not followed.
var errRedirect = errors.New("redirect refused")

// redirect keeps the token from other hosts, and HEAD at the host that knows
// about the file.
func (c *client) redirect(next *http.Request, via []*http.Request) error {
	first := via[0]
	switch {
	case first.Method == http.MethodHead && next.URL.Host != first.URL.Host:
		return http.ErrUseLastResponse
	case len(via) >= maxRedirects:
		return fmt.Errorf("%w: %d in a row", errRedirect, maxRedirects)
	case first.URL.Scheme == "https" && next.URL.Scheme != "https":
		return fmt.Errorf("%w: from https to %s", errRedirect, tensorfile.Quote(next.URL.Scheme))
	}
	if next.URL.Host != first.URL.Host || next.URL.Scheme != first.URL.Scheme {
		next.Header.Del("Authorization")
	}
	return nil
}

// response is one that the server gave without refusing.
type response struct {
	*http.Response
	body io.Reader // fails when the link is dead
	stop func()    // to be called when done
}

// request makes one attempt. offset > 0 asks for the bytes from there on.
func (c *client) request(ctx context.Context, method, path string, offset int64) (*response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(c.pace.stall, func() {
		cancel(passingErrorf("%s: silent or almost so for %v", c.endpoint.Host, c.pace.stall))
	})
	stop := func() { timer.Stop(); cancel(nil) }
	req, err := http.NewRequestWithContext(ctx, method, c.Endpoint+path, nil)
	if err != nil {
		stop()
		return nil, err
	}
	req.Header.Set("User-Agent", "bitdistill")
	req.Header.Set("Accept-Encoding", "identity") // sizes and ranges are of the file itself
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	if offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	got, err := c.http.Do(req)
	if err != nil {
		defer stop()
		return nil, c.linkError(ctx, err)
	}
	c.reached = true
	touch := func() { timer.Reset(c.pace.stall) }
	r := &response{got, &watched{c: c, ctx: ctx, r: got.Body, touch: touch}, func() { got.Body.Close(); stop() }}
	if got.StatusCode/100 == 2 || method == http.MethodHead && got.StatusCode/100 == 3 {
		return r, nil
	}
	defer r.stop()
	return nil, c.refusal(r)
}

// linkError says that the server was not understood, or not reached. Addresses
// are left out: those that servers redirect to hold keys.
func (c *client) linkError(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil { // silence, or the caller gave up
		return cause
	}
	var u *url.Error
	for errors.As(err, &u) {
		err = u.Err
	}
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.Is(err, errRedirect):
		return fmt.Errorf("%s: %w", c.endpoint.Host, err)
	case errors.As(err, &certificate):
		return kindErrorf(ErrUnreachable, "%s: %w", c.endpoint.Host, err)
	}
	return passingErrorf("%s: %w", c.endpoint.Host, err)
}

// watched is a body with a watch on its speed.
type watched struct {
	c     *client
	ctx   context.Context
	r     io.Reader
	touch func()
	since int // bytes since touch
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if w.since += n; w.since >= minChunk {
		w.since = 0
		w.touch()
	}
	if err != nil && err != io.EOF {
		err = w.c.linkError(w.ctx, err)
	}
	return n, err
}

// refusal turns an answer that is no success into an error that says what to do.
func (c *client) refusal(r *response) error {
	code, message := r.Header.Get("X-Error-Code"), c.message(r)
	status := r.StatusCode
	elsewhere := r.Request.URL.Host != c.endpoint.Host // storage, by an address that works for a while
	switch {
	case status == 408 || status == 429 || status == 500 || status == 502 || status == 503 || status == 504 || elsewhere && status == 403:
		return &passingError{fmt.Errorf("%s answers %d%s", c.endpoint.Host, status, message), retryAfter(r.Header.Get("Retry-After"))}
	case code == "GatedRepo":
		how := "set HF_TOKEN to a token of that account"
		if c.Token != "" {
			how = "the token of " + c.tokenSource + " is not of an account that has"
		}
		return kindErrorf(ErrDenied, "is gated: its conditions must be accepted by an account at %s/%s; %s", c.Endpoint, c.id.repo(), how)
	case code == "RevisionNotFound":
		return kindErrorf(ErrNotFound, "has no revision %s", c.id.Revision)
	case code == "EntryNotFound":
		return kindErrorf(ErrNotFound, "has no such file")
	case status == 401 && c.Token != "" && (code != "RepoNotFound" || strings.Contains(message, "Invalid credentials")):
		return kindErrorf(ErrDenied, "the hub does not accept the token of %s: it is wrong or has expired; make a new one, or do without for what is public", c.tokenSource)
	case code == "RepoNotFound" || status == 401:
		how := "or is private and needs a token: check the spelling, or set HF_TOKEN"
		if c.Token != "" {
			how = "or the token of " + c.tokenSource + " may not see it"
		}
		return kindErrorf(ErrNotFound, "does not exist at %s, %s", c.endpoint.Host, how)
	case status == 403:
		return kindErrorf(ErrDenied, "access is denied%s", message)
	case status == 404:
		return kindErrorf(ErrNotFound, "is not at %s%s", c.endpoint.Host, message)
	}
	return fmt.Errorf("%s answers %d%s", c.endpoint.Host, status, message)
}

// message is what the server says, for the end of an error; never the token.
func (c *client) message(r *response) string {
	text := r.Header.Get("X-Error-Message")
	if text == "" {
		var body struct {
			Error string `json:"error"`
		}
		data, _ := io.ReadAll(io.LimitReader(r.body, 4096)) // no reason to fail: it is only the wording
		json.Unmarshal(data, &body)
		text = body.Error
	}
	if text == "" {
		return ""
	}
	if c.Token != "" {
		text = strings.ReplaceAll(text, c.Token, "***")
	}
	return ": " + tensorfile.Quote(text)
}

// retryAfter reads seconds or a date; 0 if there is neither.
func retryAfter(value string) time.Duration {
	if n, err := strconv.ParseInt(value, 10, 32); err == nil && n >= 0 {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}

// retry calls try until it succeeds, fails for good, or fails too often in a
// row. try returns how many bytes came.
func (c *client) retry(ctx context.Context, what string, try func() (came int64, err error)) error {
	var since int64
	for failures := 1; ; failures++ {
		came, err := try()
		var passing *passingError
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case !errors.As(err, &passing):
			return err
		}
		if since += came; since >= minProgress {
			failures, since = 1, 0
		}
		most := c.pace.attempts
		if !c.reached { // most likely there is no network: say so soon
			most = min(most, 3)
		}
		if failures >= most {
			return kindErrorf(ErrUnreachable, "%w (%d attempts)", err, failures)
		}
		wait := c.pace.first << (failures - 1)
		if passing.after > 0 {
			wait = passing.after
		}
		if wait > c.pace.longest {
			return kindErrorf(ErrUnreachable, "%w; it asks to wait %v: try again then", err, wait.Round(time.Second))
		}
		c.Log(fmt.Sprintf("%s: %v; again in %v", what, err, wait.Round(time.Second/10)))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}
