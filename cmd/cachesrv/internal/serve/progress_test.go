package serve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections are pipes: in a bubble of synctest they wait in its time, and hold nothing back.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (l *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// long is how long things take here that are allowed to: more than any timeout there is.
const long = 20 * stallTimeout

// streaming calls do with a client of a server with this handler, in HTTP/1.1 and in HTTP/2, in a time of its own.
func streaming(t *testing.T, handler http.HandlerFunc, do func(t *testing.T, client *http.Client)) {
	for _, version := range []int{1, 2} {
		t.Run(fmt.Sprint("HTTP ", version), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ln := newPipes()
				s := Stream(ln, nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.ProtoMajor != version {
						t.Errorf("the request came in %s", r.Proto)
					}
					handler(w, r)
				}), slog.New(slog.DiscardHandler))
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- All(ctx, s) }()
				tr := &http.Transport{DialContext: ln.dial, Protocols: new(http.Protocols), DisableCompression: true}
				tr.Protocols.SetHTTP1(version == 1)
				tr.Protocols.SetUnencryptedHTTP2(version == 2)
				tr.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: 1 << 16, MaxReceiveBufferPerConnection: 1 << 16}
				do(t, &http.Client{Transport: tr})
				tr.CloseIdleConnections()
				stop()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func get(t *testing.T, client *http.Client) *http.Response {
	t.Helper()
	res, err := client.Get("http://h/")
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// TestSlowDownloads: a client that reads slowly gets all of it.
func TestSlowDownloads(t *testing.T) {
	page := bytes.Repeat([]byte("0123456789abcdef"), 100<<10) // 1.6 MB in one Write
	streaming(t, func(w http.ResponseWriter, _ *http.Request) {
		if _, err := w.Write(page); err != nil {
			t.Errorf("write: %v", err)
		}
	}, func(t *testing.T, client *http.Client) {
		start, res := time.Now(), get(t, client)
		defer res.Body.Close()
		var got []byte
		for buffer := make([]byte, 40<<10); ; {
			time.Sleep(stallTimeout / 3)
			n, err := io.ReadFull(res.Body, buffer)
			got = append(got, buffer[:n]...)
			if err != nil {
				break
			}
		}
		if !bytes.Equal(got, page) {
			t.Errorf("%d of %d bytes", len(got), len(page))
		}
		if took := time.Since(start); took < 10*stallTimeout {
			t.Errorf("it took %v only: nothing was tested", took)
		}
	})
}

// TestStalledDownloads: a client that reads no more is given up.
func TestStalledDownloads(t *testing.T) {
	for name, size := range map[string]int{"much": 8 << 20, "last bytes": 100 << 10} {
		t.Run(name, func(t *testing.T) {
			var cut atomic.Pointer[time.Time]
			streaming(t, func(w http.ResponseWriter, r *http.Request) {
				for range 1000 {
					if _, err := w.Write(make([]byte, size/1000)); err != nil {
						break
					}
				}
				<-r.Context().Done()
				now := time.Now()
				cut.Store(&now)
			}, func(t *testing.T, client *http.Client) {
				res := get(t, client)
				defer res.Body.Close()
				start := time.Now()
				time.Sleep(long)
				if at := cut.Swap(nil); at == nil {
					t.Error("it was not given up")
				} else if took := at.Sub(start); took < stallTimeout || took > 2*stallTimeout {
					t.Errorf("it was given up after %v", took)
				}
			})
		})
	}
}

// TestSlowOrigins: time in which the handler has nothing to say is not the client's.
func TestSlowOrigins(t *testing.T) {
	streaming(t, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Errorf("the request's body: %v", err)
		}
		time.Sleep(long)
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		for i := range 3 {
			time.Sleep(long)
			fmt.Fprintf(w, "event %d\n", i)
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Errorf("event %d: %v", i, err)
			}
		}
		time.Sleep(long)
		if err := r.Context().Err(); err != nil {
			t.Errorf("the request was given up: %v", err)
		}
	}, func(t *testing.T, client *http.Client) {
		for _, body := range []io.Reader{nil, bytes.NewReader([]byte("question"))} {
			req, err := http.NewRequest(http.MethodPost, "http://h/", body)
			if err != nil {
				t.Fatal(err)
			}
			res, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(res.Body); string(got) != "event 0\nevent 1\nevent 2\n" {
				t.Errorf("%q, %v", got, err)
			}
			_ = res.Body.Close()
		}
	})
}

// dripping is a body that comes slowly, byte by byte, n of them, and then what end says.
type dripping struct {
	n     int
	pause time.Duration
	end   func() error
}

func (d *dripping) Read(p []byte) (int, error) {
	if d.n == 0 {
		return 0, d.end()
	}
	time.Sleep(d.pause)
	d.n--
	p[0] = 'x'
	return 1, nil
}

func eof() error { return io.EOF }

// TestSlowUploads: a body may take as long as it likes, and the handler as long as it likes to read it.
func TestSlowUploads(t *testing.T) {
	streaming(t, func(w http.ResponseWriter, r *http.Request) {
		read := 0
		for buffer := make([]byte, 1); ; {
			n, err := r.Body.Read(buffer)
			if read += n; err == io.EOF {
				break
			} else if err != nil {
				t.Errorf("after %d bytes: %v", read, err)
				break
			}
			if read == 5 {
				time.Sleep(long)
			}
		}
		fmt.Fprint(w, read)
	}, func(t *testing.T, client *http.Client) {
		res, err := client.Post("http://h/", "text/plain", &dripping{40, stallTimeout * 2 / 3, eof})
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if got, err := io.ReadAll(res.Body); string(got) != "40" {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// TestStalledUploads: who announces a body and sends none of it is given up.
func TestStalledUploads(t *testing.T) {
	streaming(t, func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		_, err := io.Copy(io.Discard, r.Body)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read: %v", err)
		}
		if took := time.Since(start); took < stallTimeout || took > 2*stallTimeout {
			t.Errorf("it was given up after %v", took)
		}
	}, func(t *testing.T, client *http.Client) {
		body := &dripping{3, 0, func() error { time.Sleep(long); return io.EOF }}
		if res, err := client.Post("http://h/", "text/plain", io.NopCloser(body)); err == nil {
			_ = res.Body.Close()
		}
		time.Sleep(2 * long) // until the body has noticed
	})
}

// raw calls do with a connection to a server with this handler.
func raw(t *testing.T, handler http.HandlerFunc, do func(t *testing.T, conn net.Conn)) {
	synctest.Test(t, func(t *testing.T) {
		ln := newPipes()
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- All(ctx, Stream(ln, nil, handler, slog.New(slog.DiscardHandler))) }()
		conn, err := ln.dial(ctx, "", "")
		if err != nil {
			t.Fatal(err)
		}
		do(t, conn)
		_ = conn.Close()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestUnreadUploads: the rest of a body that nobody has read is not waited for longer.
func TestUnreadUploads(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"small answer": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "no") },
		"large answer": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1<<20)) },
		"none":         func(http.ResponseWriter, *http.Request) {},
		"it read some": func(_ http.ResponseWriter, r *http.Request) { _, _ = r.Body.Read(make([]byte, 2)) },
	} {
		t.Run(name, func(t *testing.T) {
			raw(t, answer, func(t *testing.T, conn net.Conn) {
				start := time.Now()
				go func() { _, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc") }()
				_, _ = io.Copy(io.Discard, conn)
				if took := time.Since(start); took > 2*stallTimeout {
					t.Errorf("the connection was closed after %v", took)
				}
			})
		})
	}
}

// TestUnreadAnswers: an answer that net/http sends when the handler has returned, or instead of it, is not waited for
// longer, either.
func TestUnreadAnswers(t *testing.T) {
	const good, bad = "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\nbad header\r\n\r\n"
	for _, tt := range []struct {
		name, request string
		answer        http.HandlerFunc
	}{
		{"small", good, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "text") }},
		{"late", good, func(w http.ResponseWriter, _ *http.Request) { time.Sleep(long); fmt.Fprint(w, "text") }},
		{"none", good, func(http.ResponseWriter, *http.Request) {}},
		{"bad request", bad, func(http.ResponseWriter, *http.Request) { t.Error("it was handled") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			raw(t, tt.answer, func(t *testing.T, conn net.Conn) {
				if _, err := io.WriteString(conn, tt.request); err != nil {
					t.Fatal(err)
				}
				time.Sleep(long + 2*stallTimeout)
				if n, err := conn.Read(make([]byte, 1000)); err != io.EOF {
					t.Errorf("it still waits: %d bytes, %v", n, err)
				}
			})
		})
	}
}

// kernel is a ResponseWriter that takes files, and notes how.
type kernel struct {
	http.ResponseWriter
	buffer bytes.Buffer
	took   []int64 // bytes of each ReadFrom
	writes int
	fail   error
}

func (k *kernel) Write(p []byte) (int, error) { k.writes++; return k.buffer.Write(p) }

func (k *kernel) ReadFrom(src io.Reader) (int64, error) {
	if limited, ok := src.(*io.LimitedReader); !ok {
		return 0, errors.New("not what net/http knows")
	} else if _, ok := limited.R.(*os.File); !ok {
		return 0, errors.New("not a file")
	}
	n, err := k.buffer.ReadFrom(src)
	k.took = append(k.took, n)
	return n, errors.Join(err, k.fail)
}

// TestFilesGoBySendfile: net/http is given files as it knows them, in steps.
func TestFilesGoBySendfile(t *testing.T) {
	content := bytes.Repeat([]byte("tea "), progressStep) // 4 steps
	path := filepath.Join(t.TempDir(), "page")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		copy  func(w io.Writer, f *os.File) (int64, error)
		want  []byte
		steps int
	}{
		{"whole", func(w io.Writer, f *os.File) (int64, error) { return w.(io.ReaderFrom).ReadFrom(f) }, content, 5},
		{"to a length", func(w io.Writer, f *os.File) (int64, error) { return io.CopyN(w, f, 100_000) }, content[:100_000], 2},
		{"longer than it is", func(w io.Writer, f *os.File) (int64, error) {
			n, err := io.CopyN(w, f, 1<<40)
			if err == io.EOF {
				err = nil
			}
			return n, err
		}, content, 5},
		{"no file", func(w io.Writer, f *os.File) (int64, error) {
			return io.Copy(w, io.LimitReader(struct{ io.Reader }{f}, 1<<20))
		}, content, 0},
		{"nothing", func(w io.Writer, f *os.File) (int64, error) { return io.CopyN(w, f, 0) }, nil, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			k := &kernel{}
			w := &progressWriter{ResponseWriter: k, controller: http.NewResponseController(k), stall: watch{after: time.Hour, cut: func() {}}}
			n, err := tt.copy(w, f)
			if err != nil || n != int64(len(tt.want)) || !bytes.Equal(k.buffer.Bytes(), tt.want) {
				t.Errorf("%d of %d bytes, %v", n, len(tt.want), err)
			}
			if len(k.took) != tt.steps || (k.writes > 0) != (tt.steps == 0) {
				t.Errorf("in steps of %d, and %d writes", k.took, k.writes)
			}
			for _, n := range k.took {
				if n > progressStep {
					t.Errorf("a step of %d bytes", n)
				}
			}
		})
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	k := &kernel{fail: io.ErrClosedPipe}
	w := &progressWriter{ResponseWriter: k, controller: http.NewResponseController(k), stall: watch{after: time.Hour, cut: func() {}}}
	if n, err := w.ReadFrom(f); !errors.Is(err, io.ErrClosedPipe) || n != progressStep {
		t.Errorf("an error at the first step: %d bytes, %v", n, err)
	}
}
