package indextest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// A Client asks one index. Its fields may be set before its first use; then it is safe for concurrent use.
type Client struct {
	Base  string // http://127.0.0.1:PORT
	Host  string // sent as Host; default: Base's
	Token string // default: none is sent
	// SendToken sends the token with reads too, as to a private index.
	SendToken bool
}

// transport is that of all clients. It changes nothing about requests and answers.
var transport = &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 32, IdleConnTimeout: 10 * time.Second}

// timeout bounds a request.
const timeout = 60 * time.Second

// An Answer is one, read to its end.
type Answer struct {
	Status int
	Phrase string // after the status
	Header http.Header
	Body   []byte
}

func (a Answer) String() string {
	return fmt.Sprintf("%d %s: %.300q", a.Status, a.Phrase, a.Body)
}

// Hit tells whether the answer came from the cache.
func (a Answer) Hit() bool {
	return strings.Contains(a.Header.Get("Cache-Status"), "; hit")
}

// Do sends a request; redirects are not followed. Headers are pairs, "Name", "value".
func (c *Client) Do(ctx context.Context, method, path string, body []byte, headers ...string) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, c.Base+path, bytes.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	r.Host = c.Host
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	if c.Token != "" && (c.SendToken || method != http.MethodGet && method != http.MethodHead) {
		r.SetBasicAuth("__token__", c.Token)
	}
	resp, err := transport.RoundTrip(r)
	if err != nil {
		return Answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	a := Answer{Status: resp.StatusCode, Header: resp.Header}
	_, a.Phrase, _ = strings.Cut(resp.Status, " ")
	if a.Body, err = io.ReadAll(resp.Body); err != nil {
		return a, fmt.Errorf("%s %s: reading the body: %w", method, path, err)
	}
	return a, nil
}

// Get asks for a page.
func (c *Client) Get(ctx context.Context, path string, headers ...string) (Answer, error) {
	return c.Do(ctx, http.MethodGet, path, nil, headers...)
}

// Upload uploads a file as twine does.
func (c *Client) Upload(ctx context.Context, f File) (Answer, error) { return c.Send(ctx, f.Form()) }

// Send sends an upload's form.
func (c *Client) Send(ctx context.Context, f Form) (Answer, error) {
	contentType, body := f.Encode()
	return c.Do(ctx, http.MethodPost, "/legacy/", body, "Content-Type", contentType)
}

// Forms of the simple API's pages, to be accepted.
const (
	JSON   = "application/vnd.pypi.simple.v1+json"
	HTMLv1 = "application/vnd.pypi.simple.v1+html"
	HTML   = "text/html"
)

// Simple asks for a page of the simple API, in a form, and reads it. The project "" is the list of all. The page is nil
// if the answer is a 404.
func (c *Client) Simple(ctx context.Context, project, form string) (*Page, Answer, error) {
	path := "/simple/"
	if project != "" {
		path += project + "/"
	}
	a, err := c.Get(ctx, path, "Accept", form)
	if err != nil || a.Status == http.StatusNotFound {
		return nil, a, err
	}
	if a.Status != http.StatusOK {
		return nil, a, fmt.Errorf("GET %s as %s: %v", path, form, a)
	}
	p, err := Parse(a.Header.Get("Content-Type"), a.Body)
	if err != nil {
		return nil, a, fmt.Errorf("GET %s as %s: %w", path, form, err)
	}
	return p, a, nil
}
