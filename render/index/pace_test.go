package index

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// A deadlined writer notes when its deadlines are moved.
type deadlined struct {
	*httptest.ResponseRecorder
	read, write []time.Time
}

func (d *deadlined) SetReadDeadline(t time.Time) error  { d.read = append(d.read, t); return nil }
func (d *deadlined) SetWriteDeadline(t time.Time) error { d.write = append(d.write, t); return nil }

func TestPacedBody(t *testing.T) {
	d := &deadlined{ResponseRecorder: httptest.NewRecorder()}
	content := bytes.Repeat([]byte("x"), 3*paceBytes+1)
	start := time.Now()
	b := newPacedBody(d, httptest.NewRequest("POST", "/", bytes.NewReader(content)), int64(len(content))+1)
	if b.begun || len(d.read) > 0 {
		t.Error("deadlines moved before anything was read")
	}
	n, err := io.Copy(io.Discard, b)
	if n != int64(len(content)) || err != nil || !b.ended {
		t.Errorf("read %d bytes, %v", n, err)
	}
	if len(d.read) < 4 || len(d.read) > 8 || len(d.write) != len(d.read) {
		t.Errorf("%d read and %d write deadlines for %d bytes", len(d.read), len(d.write), n)
	}
	for i := range d.read {
		if d.read[i].Sub(start) < paceTime || d.write[i].Sub(d.read[i]) < paceTime/2 {
			t.Errorf("deadline %d: %v to read, %v to write", i, d.read[i].Sub(start), d.write[i].Sub(start))
		}
	}
	b = newPacedBody(d, httptest.NewRequest("POST", "/", bytes.NewReader(content)), 10)
	if got, err := io.ReadAll(b); len(got) != 10 || !errors.Is(err, errTooLong) || b.ended {
		t.Errorf("read %d bytes of 10, %v", len(got), err)
	}
}

func TestPacedWriter(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 3*paceBytes/16)
	for name, send := range map[string]func(w *pacedWriter) (int64, error){
		"Write": func(w *pacedWriter) (int64, error) { n, err := w.Write(content); return int64(n), err },
		"ReadFrom": func(w *pacedWriter) (int64, error) {
			return w.ReadFrom(&io.LimitedReader{R: bytes.NewReader(append(content, "more"...)), N: int64(len(content))})
		},
		"ReadFrom, unlimited": func(w *pacedWriter) (int64, error) { return w.ReadFrom(bytes.NewReader(content)) },
		"ReadFrom, short": func(w *pacedWriter) (int64, error) {
			return w.ReadFrom(&io.LimitedReader{R: bytes.NewReader(content), N: 1 << 40})
		},
	} {
		d := &deadlined{ResponseRecorder: httptest.NewRecorder()}
		n, err := send(&pacedWriter{ResponseWriter: d, rc: http.NewResponseController(d)})
		if n != int64(len(content)) || err != nil || !bytes.Equal(d.Body.Bytes(), content) {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
		if len(d.write) < 3 || len(d.write) > 4 {
			t.Errorf("%s: %d deadlines for %d bytes", name, len(d.write), n)
		}
	}
}
