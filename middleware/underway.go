package middleware

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/render/origin"
)

// An underway is an answer on its way from the origin into its page, and to the client whose request it is.
//
// Mostly all of it is there before it would have to be waited for: then it is sent and stored at the same time. Else another
// goroutine sends what is stored so far (tail).
type underway struct {
	fe   *fetch
	resp *http.Response
	meta cache.Meta
	buf  *[chunkSize]byte
	got  int   // bytes in buf,
	kept int   // and those of them that are stored
	came int64 // all
	tail *tail // nil: nothing is sent yet
}

// stream sends the answer to the client while it is stored.
func (fe *fetch) stream(ctx context.Context, resp *http.Response, m cache.Meta) {
	fe.bound.Stop() // from here on it is fe.write that gives up: the client gets all, however long that takes
	u := &underway{fe: fe, resp: resp, meta: m, buf: chunks.Get().(*[chunkSize]byte)}
	undo := origin.BeforeWait(resp.Body, u.split)
	whole, err := u.read()
	undo()
	if whole {
		_ = resp.Body.Close()
		u.finish(ctx)
		return
	}
	defer chunks.Put(u.buf)
	defer resp.Body.Close()
	u.rest(ctx, err)
}

// read reads until the body ends, and stores what it reads once that is being sent. whole: all of it is in buf, and nothing is sent
// yet. Else err is why storing ended, as of tail.add.
func (u *underway) read() (whole bool, err error) {
	for {
		if u.tail != nil && u.kept == u.got {
			u.got, u.kept = 0, 0
		}
		n, err := u.resp.Body.Read(u.buf[u.got:])
		fault.Point(fault.FillWrite)
		u.got += n
		u.came += int64(n)
		if u.tail == nil {
			switch {
			case err == io.EOF:
				return true, nil
			case err == nil && u.got < len(u.buf):
				continue
			}
			u.split()
		}
		if end, err := u.keep(err); end {
			return false, err
		}
	}
}

// split has what comes sent by another goroutine. The origin is waited for next, or there is more than goes into buf.
func (u *underway) split() {
	if u.tail != nil {
		return
	}
	fe := u.fe
	u.tail = newTail(fe.fill, fe.write)
	_, _ = u.keep(nil)                     // keep says it again
	fe.begin(u.resp, u.meta, willBeStored) // waits for nobody
	go func() {
		defer close(u.tail.done)
		defer func() {
			if cause := recover(); cause != nil {
				u.tail.sendErr = fmt.Errorf("panic: %v", cause)
				fe.p.trouble.log(fe.p.log, slog.LevelError, "an answer's sender panicked; it is broken off", "key", fe.old.slot, "panic", cause)
			}
		}()
		u.tail.sendErr = u.tail.send(fe.a.w)
	}()
}

func (u *underway) keep(readErr error) (end bool, err error) {
	end, err = u.tail.add(u.buf[u.kept:u.got], readErr)
	if err == nil || errors.Is(err, errOrigin) {
		u.kept = u.got
	}
	return end, err
}

// rest ends what is sent by another goroutine: the page is published or given up, whatever the client does; then the client is
// waited for, and gets what could not be stored.
func (u *underway) rest(ctx context.Context, err error) {
	fe := u.fe
	defer u.tail.close()
	switch {
	case err == nil:
		if hit, err := fe.publish(ctx, u.meta); err == nil {
			_ = hit.Close()
		}
	case errors.Is(err, errOrigin):
		fe.end()
	default:
		fe.unstored(err)
	}
	if err != nil && !errors.Is(err, errOrigin) { // what is left is the client's own
		defer fe.ofOneClient(u.resp.Body)()
	}
	<-u.tail.done
	switch {
	case u.tail.sendErr != nil:
		panic(http.ErrAbortHandler) // it has left; or must see that this is not all
	case err == nil:
		return
	case errors.Is(err, errOrigin) && u.came == u.resp.ContentLength && u.tail.sent == u.came:
		return // more came than was announced: nothing of it can be trusted to be the page
	case errors.Is(err, errOrigin):
		panic(http.ErrAbortHandler)
	}
	_, _ = fe.a.w.Write(u.buf[u.kept:u.got])
	sendRest(fe.a.w, u.resp.Body, true)
}

// willBeStored is what Cache-Status says of a page that is sent before it is published: as a rule it then is.
const willBeStored = "; stored"

// sendFirst is how long a page waits for its client before it is published all the same: mostly a client takes it at once, and
// has it earlier if nothing else is done meanwhile.
const sendFirst = 10 * time.Millisecond

// finish answers with what has come as a whole, and has it published when it is sent, or the client turns out to be slow. The client
// does not wait for that; requests for the page wait for the flight.
func (u *underway) finish(ctx context.Context) {
	fe := u.fe
	if u.resp.ContentLength < 0 {
		u.resp.ContentLength = u.came // it was chunked
	}
	if len(u.meta.Position) > 0 || fe.p.o.Store.Settle() > 0 { // mostly not stored, if it lags: what is said of that is known first
		u.publish(ctx)
		stored := willBeStored
		if fe.unstoredFor != "" {
			stored = detail(fe.unstoredFor)
		}
		fe.begin(u.resp, u.meta, stored)
		_, _ = fe.a.w.Write(u.buf[:u.got])
		chunks.Put(u.buf)
		return
	}
	published := make(chan struct{})
	late := time.AfterFunc(sendFirst, func() {
		defer close(published)
		recovered(fe.p.log, func() { u.publish(ctx) })
	})
	fe.begin(u.resp, u.meta, willBeStored)
	_, _ = fe.a.w.Write(u.buf[:u.got])
	if !late.Stop() {
		<-published
		chunks.Put(u.buf)
		return
	}
	fe.handedOver = fe.p.background.begin(fe.p.log, func() {
		defer fe.cancel()
		defer fe.end()
		u.publish(ctx)
		chunks.Put(u.buf)
	})
	if !fe.handedOver { // too much goes on there
		u.publish(ctx)
		chunks.Put(u.buf)
	}
}

// publish publishes what is in buf.
func (u *underway) publish(ctx context.Context) {
	if err := u.fe.write(u.buf[:u.got]); err != nil {
		u.fe.unstored(err)
		return
	}
	if hit, err := u.fe.publish(ctx, u.meta); err == nil {
		_ = hit.Close()
	}
}
