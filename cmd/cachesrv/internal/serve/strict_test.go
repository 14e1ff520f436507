package serve

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const (
	good = "GET /good HTTP/1.1\r\nHost: h\r\n\r\n"
	bad  = "GET /bad HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n"
	post = "POST /good HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
)

// tell writes on a connection, in parts, and returns what comes until it ends.
func tell(conn net.Conn, parts ...string) string {
	go func() {
		for _, part := range parts {
			if _, err := io.WriteString(conn, part); err != nil {
				return // it has been refused already
			}
		}
	}()
	answers, _ := io.ReadAll(conn)
	return string(answers)
}

// bytewise cuts a text into bytes.
func bytewise(text string) []string { return strings.Split(text, "") }

// statuses lists those of the answers.
func statuses(t *testing.T, answers string) (list []int) {
	for r := bufio.NewReader(strings.NewReader(answers)); ; {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			return list
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			t.Errorf("answer %d: %v", len(list), err)
		}
		list = append(list, res.StatusCode)
	}
}

// TestStrictAnswers: what can be read in two ways is answered by 400 and why, and then the connection ends; no handler hears
// of it. Requests in front of it are answered as ever.
func TestStrictAnswers(t *testing.T) {
	for _, tt := range []struct {
		name, stream string
		want         []int
		why          string
	}{
		{"first", bad + good, []int{400}, folded},
		{"behind one", good + bad + good, []int{200, 400}, folded},
		{"behind a body", strings.Replace(post, "Transfer-Encoding: chunked", "Content-Length: 3", 1) + "a\nb" + bad, []int{200, 400}, folded},
		{"in a body", post + "3\nabc\r\n0\r\n\r\n" + good, []int{500}, ""},
		{"behind a chunk", post + "3\r\nabc\n0\r\n\r\n" + good, []int{500}, ""},
		{"in a trailer", post + "3\r\nabc\r\n0\r\nX: y\n\r\n" + good, []int{500}, ""},
		{"LF", "\n" + good, []int{400}, bareLF},
		{"two lengths", "GET /bad HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []int{400}, twoFrames},
		{"coding", "GET /bad HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: x\r\n\r\n", []int{400}, oddCoding},
		{"what net/http refuses", good + "GET /bad HTTP/1.1\r\n\r\n", []int{200, 400}, ""},
		{"half a preface", preface[:23] + "X", []int{400}, oddLine},
	} {
		for how, parts := range map[string][]string{"at once": {tt.stream}, "byte by byte": bytewise(tt.stream)} {
			t.Run(tt.name+" "+how, func(t *testing.T) {
				raw(t, func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path != "/good" {
						t.Errorf("%s %s is handled", r.Method, r.URL)
					}
					if _, err := io.Copy(io.Discard, r.Body); err != nil {
						http.Error(w, "no", http.StatusInternalServerError)
					}
				}, func(t *testing.T, conn net.Conn) {
					answers := tell(conn, parts...)
					if got := statuses(t, answers); !slices.Equal(got, tt.want) {
						t.Errorf("answers %d, want %d:\n%s", got, tt.want, answers)
					}
					last := answers[max(0, strings.LastIndex(answers, fmt.Sprint("HTTP/1.1 ", tt.want[len(tt.want)-1]))):]
					if !strings.Contains(last, "\r\nConnection: close\r\n") || !strings.Contains(last, "\r\nContent-Type: text/plain") {
						t.Errorf("the last answer is %q", last)
					}
					if tt.why != "" && !strings.HasSuffix(last, "\r\n\r\ncachesrv: "+tt.why+"\n") {
						t.Errorf("the last answer is %q, and does not say %q", last, tt.why)
					}
				})
			})
		}
	}
}

// TestStrictAnswersAreOurs: a page that reads like net/http's answer to what is malformed is sent as it is.
func TestStrictAnswersAreOurs(t *testing.T) {
	raw(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(bareAnswer)))
		_ = http.NewResponseController(w).Flush()
		time.Sleep(time.Second) // now the next request has been read
		_, _ = io.WriteString(w, bareAnswer)
	}, func(t *testing.T, conn net.Conn) {
		answers := tell(conn, good+bad)
		if got := statuses(t, answers); !slices.Equal(got, []int{200, 400}) || strings.Count(answers, bareAnswer) != 1 || strings.Count(answers, folded) != 1 {
			t.Errorf("answers %d:\n%s", got, answers)
		}
	})
}

// TestUnreadBodies: a body that its handler does not read is followed all the same; nothing in it is a request.
func TestUnreadBodies(t *testing.T) {
	for _, body := range []string{"3\nabc\r\n0\r\n\r\n", "3\r\nabcX\r\n0\r\n\r\n", "0\r\nX: y\r\n z\r\n\r\n"} {
		for _, size := range []int{1, 1 << 20} { // net/http looks at the rest of the body before it sends a small answer, and after a large one
			var handled atomic.Int32
			raw(t, func(w http.ResponseWriter, r *http.Request) {
				handled.Add(1)
				_, _ = w.Write(make([]byte, size))
			}, func(t *testing.T, conn net.Conn) {
				answers := tell(conn, post+body+good)
				if n := handled.Load(); n != 1 {
					t.Errorf("%q: %d requests were handled: %d", body, n, statuses(t, answers))
				}
			})
		}
	}
}

// TestFaultsInBodies: where a body is at fault, handlers read what was sent in front of the fault, and then an error; not a byte
// of ours. The connection is not used again.
func TestFaultsInBodies(t *testing.T) {
	for body, want := range map[string]string{
		"1;a\nX\r\n0\r\n\r\n": "", "1;a\x00\r\nX\r\n0\r\n\r\n": "", "1\nX\r\n0\r\n\r\n": "", "\n": "", "+1\r\nX\r\n": "", // in a size
		"3\r\nabc\n0\r\n\r\n": "abc", "3\r\nabc\rX": "abc", "3\r\nabc\r\n3;\n": "abc", // behind a chunk
		"3\r\nabc\r\n0\n\r\n": "abc", "3\r\nabc\r\n0\r\n\n": "abc", "3\r\nabc\r\n0\r\n\rX": "abc", "3\r\nabc\r\n0\r\nX: y\n\r\n": "abc", "3\r\nabc\r\n0\r\nX: y\r\n z\r\n\r\n": "abc", // in the last one, and in trailers
	} {
		for _, parts := range [][]string{{post + body + good}, bytewise(post + body + good), {post, body, good}} {
			var handled atomic.Int32
			raw(t, func(w http.ResponseWriter, r *http.Request) {
				handled.Add(1)
				got, err := io.ReadAll(r.Body)
				if string(got) != want || err == nil {
					t.Errorf("%q is read as %q, %v", body, got, err)
				}
				if len(r.Trailer) > 0 {
					t.Errorf("%q has the trailer %q", body, r.Trailer)
				}
			}, func(t *testing.T, conn net.Conn) {
				answers := tell(conn, parts...)
				if n := handled.Load(); n != 1 || !slices.Equal(statuses(t, answers), []int{200}) {
					t.Errorf("%q: %d requests were handled: %q", body, n, answers)
				}
			})
		}
	}
}

// TestStrictSite: the sites that make their own pages are as strict.
func TestStrictSite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := newPipes()
		s := Site(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/good" {
				t.Errorf("%s is handled", r.URL)
			}
		}), slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- All(ctx, s) }()
		for stream, want := range map[string][]int{good + bad: {200, 400}, preface: {400}} {
			conn, err := ln.dial(ctx, "", "")
			if err != nil {
				t.Fatal(err)
			}
			if answers := tell(conn, stream); !slices.Equal(statuses(t, answers), want) || !strings.Contains(answers, "\r\n\r\ncachesrv: ") {
				t.Errorf("%q is answered by %q", stream, answers)
			}
			_ = conn.Close()
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestEarlyBytesOfUpgrades: who speaks another protocol is not read as HTTP, even if it begins before it was told to.
func TestEarlyBytesOfUpgrades(t *testing.T) {
	const upgrade = "GET /good HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n"
	const frames = "\n\r \x00 not HTTP\n\n GET"
	for _, parts := range [][]string{{upgrade + frames}, {upgrade, frames}, bytewise(upgrade + frames), {good + upgrade + frames}} {
		raw(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Upgrade") == "" {
				return
			}
			time.Sleep(time.Second) // net/http waits for a byte meanwhile
			conn, buffered, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			got := make([]byte, len(frames))
			if _, err := io.ReadFull(buffered, got); err != nil || string(got) != frames {
				t.Errorf("%q, %v", got, err)
			}
			fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n")
			if _, err := io.ReadFull(conn, got[:4]); err != nil || string(got[:4]) != "\n\nok" {
				t.Errorf("%q, %v", got[:4], err)
			}
		}, func(t *testing.T, conn net.Conn) {
			go func() {
				for _, part := range parts {
					_, _ = io.WriteString(conn, part)
				}
			}()
			r := bufio.NewReader(conn)
			for {
				res, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Error(err)
					return
				}
				if res.StatusCode == 101 {
					break
				}
			}
			_, _ = io.WriteString(conn, "\n\nok")
			_, _ = io.Copy(io.Discard, conn)
		})
	}
}

// TestRefusedUpgrades: who only asks for another protocol, and gets none, is read as strictly as before.
func TestRefusedUpgrades(t *testing.T) {
	upgrade := strings.Replace(good, "\r\n\r\n", "\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n", 1)
	for stream, want := range map[string][]int{
		upgrade + bad: {200, 400}, upgrade + "\n" + good: {200, 400}, upgrade + " " + good: {200, 400}, upgrade + good + bad: {200, 200, 400},
		upgrade + upgrade + bad: {200, 200, 400}, upgrade + "G" + bad: {200, 400},
		strings.Replace(upgrade, "GET", "POST", 1) + "\n" + good:    {200, 400},
		strings.Replace(upgrade, "GET", "POST", 1) + "\r\n\n" + bad: {200, 400},
	} {
		for _, parts := range [][]string{{stream}, bytewise(stream), {stream[:len(upgrade)], stream[len(upgrade):]}} {
			raw(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/good" {
					t.Errorf("%s %s is handled", r.Method, r.URL)
				}
				time.Sleep(time.Second)
			}, func(t *testing.T, conn net.Conn) {
				if got := statuses(t, tell(conn, parts...)); !slices.Equal(got, want) {
					t.Errorf("%q: answers %d, want %d", stream, got, want)
				}
			})
		}
	}
}

// TestLaterRequests: nor is a request that comes when the upgrade has been refused.
func TestLaterRequests(t *testing.T) {
	raw(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/good" {
			t.Errorf("%s %s is handled", r.Method, r.URL)
		}
	}, func(t *testing.T, conn net.Conn) {
		r := bufio.NewReader(conn)
		for i, part := range []string{strings.Replace(good, "\r\n\r\n", "\r\nUpgrade: test\r\n\r\n", 1), good, bad} {
			go func() { _, _ = io.WriteString(conn, part) }()
			res, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			if want := []int{200, 200, 400}[i]; res.StatusCode != want {
				t.Errorf("request %d is answered by %d, not %d", i, res.StatusCode, want)
			}
			_, _ = io.Copy(io.Discard, res.Body)
		}
	})
}

// said is a connection on which all has been said already.
type said struct {
	net.Conn
	io.Reader
}

func (c said) Read(p []byte) (int, error) { return c.Reader.Read(p) }

// TestStrictReads: what is fine comes as it was sent, and of anything else what is in front of the fault, however much is read
// at a time.
func TestStrictReads(t *testing.T) {
	upgrade := strings.Replace(good, "\r\n\r\n", "\r\nUpgrade: test\r\n\r\n", 1)
	for stream, want := range map[string]string{
		good + upgrade + upgrade + good + upgrade: "", upgrade + post + "3\r\nabc\r\n0\r\n\r\n" + upgrade + good: "",
		preface + "\n\n": "", preface[:20]: preface[:11] + poison, preface[:3]: "", preface: "",
		upgrade + upgrade + "GET /\n" + good: upgrade + upgrade + "GET /" + poison,
		upgrade + "\n" + upgrade:             upgrade + "\n" + poison, // it went by
		good + post + "3;a\nabc":             good + post + "3;a", post + "\n": post, post + "0\r\nX: y\r\n z": post + "0\r\nX: y\r\n",
	} {
		for _, sizes := range [][]int{{1}, {2}, {3}, {14}, {50}, {100}, {4096}, {4096, 1, 100}} {
			for _, part := range []int{1, 10, 1000} {
				c := strict(said{Reader: &cut{strings.NewReader(stream), part}}, true)
				var got []byte
				for i, err := 0, error(nil); err == nil; i++ {
					var n int
					p := make([]byte, sizes[i%len(sizes)])
					if n, err = c.Read(p); n == 0 && err == nil {
						t.Fatalf("%q: a read of nothing", stream)
					}
					got = append(got, p[:n]...)
				}
				if want := cmp.Or(want, stream); string(got) != want {
					t.Fatalf("%q, said in parts of %d and read in parts of %d, is %q, not %q", stream, part, sizes, got, want)
				}
			}
		}
	}
}

// cut is a reader that gives no more than size bytes at a time.
type cut struct {
	io.Reader
	size int
}

func (c *cut) Read(p []byte) (int, error) { return c.Reader.Read(p[:min(len(p), c.size)]) }

// TestSlowPrefaces: HTTP/2 begins, however slowly its first bytes come.
func TestSlowPrefaces(t *testing.T) {
	raw(t, func(http.ResponseWriter, *http.Request) {}, func(t *testing.T, conn net.Conn) {
		go func() {
			for _, b := range bytewise(preface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00") {
				_, _ = io.WriteString(conn, b)
			}
		}()
		frame := make([]byte, 4)
		if _, err := io.ReadFull(conn, frame); err != nil || frame[3] != 4 {
			t.Errorf("%x, %v: not its settings", frame, err)
		}
	})
}

// counting is a TCP listener whose connections count how often they are given files to send.
type counting struct {
	*net.TCPListener
	files *atomic.Int64
}

func (l counting) Accept() (net.Conn, error) {
	c, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	return countingConn{c, l.files}, nil
}

type countingConn struct {
	*net.TCPConn
	files *atomic.Int64
}

func (c countingConn) ReadFrom(src io.Reader) (int64, error) {
	c.files.Add(1)
	return c.TCPConn.ReadFrom(src)
}

// TestSendfileThroughStrict: what stands in front of net/http does not hide from it what the kernel can do.
func TestSendfileThroughStrict(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	content := bytes.Repeat([]byte("tea "), 1<<18)
	path := filepath.Join(t.TempDir(), "page")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	var files atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	s := Stream(counting{tcp.(*net.TCPListener), &files}, nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, path)
	}), slog.New(slog.DiscardHandler))
	go func() { ended <- All(ctx, s) }()
	res, err := http.Get("http://" + tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil || !bytes.Equal(got, content) || files.Load() == 0 {
		t.Errorf("%d bytes, %v; the connection was given %d files", len(got), err, files.Load())
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestLargeHeads: heads of 30 KiB are served, those of 40 KiB are not.
func TestLargeHeads(t *testing.T) {
	for size, want := range map[int]int{30 << 10: 200, 40 << 10: 431} {
		raw(t, func(http.ResponseWriter, *http.Request) {}, func(t *testing.T, conn net.Conn) {
			answers := tell(conn, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nCookie: "+strings.Repeat("x", size)+"\r\n\r\n")
			if got := statuses(t, answers); !slices.Equal(got, []int{want}) {
				t.Errorf("%d bytes are answered by %d", size, got)
			}
		})
	}
}

// TestOptionsOfAll: OPTIONS * is for the handler to answer, as everything else.
func TestOptionsOfAll(t *testing.T) {
	raw(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Method, r.RequestURI, r.Host)
	}, func(t *testing.T, conn net.Conn) {
		answers := tell(conn, "OPTIONS * HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
		if !strings.HasSuffix(answers, "\r\n\r\nOPTIONS*h") {
			t.Errorf("answer %q", answers)
		}
	})
}
