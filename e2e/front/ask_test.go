//go:build e2e

package front

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// An answer is a whole one.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) by() string { return a.header.Get("Cache-Status") }

// fromFile reports whether the other server has answered from a page.
func (a answer) fromFile() bool { return a.by() == "nginx; hit" || a.by() == "caddy; hit" }

// ask sends a request as it is written: the target byte by byte.
func ask(t testing.TB, addr, method, target string, headers ...string) answer {
	t.Helper()
	return send(t, addr, method, target, "", headers...)
}

func send(t testing.TB, addr, method, target, body string, headers ...string) answer {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	host := "Host: " + hostName
	for _, h := range headers {
		if strings.HasPrefix(h, "Host:") {
			host = ""
		}
	}
	lines := append([]string{method + " " + target + " HTTP/1.1", "Connection: close"}, headers...)
	if host != "" {
		lines = append(lines, host)
	}
	if body != "" && !slices.Contains(headers, chunked) {
		lines = append(lines, fmt.Sprintf("Content-Length: %d", len(body)))
	}
	if _, err := io.WriteString(c, strings.Join(lines, "\r\n")+"\r\n\r\n"+body); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s %.100q: %v", method, target, err)
	}
	content, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %.100q: %v", method, target, err)
	}
	return answer{res.StatusCode, res.Header, string(content)}
}

// chunked announces a body in chunks, which is sent as it is.
const chunked = "Transfer-Encoding: chunked"
