package serve

import (
	"context"
	"log/slog"
	"net"
	"net/http"
)

// Stream returns the server of a site whose answers and requests may take long, as long as they move on (WithProgress).
// With a certificate it speaks TLS, and in it HTTP/2 or HTTP/1.1; without one HTTP/1.1, and HTTP/2 with those who
// begin with it (prior knowledge, RFC 9113 3.3). What HTTP/1 clients send that can be read in two ways is answered with 400,
// before a handler hears of it. When it is asked to stop, upgraded connections (as WebSockets) are cut at
// once: nobody else would end them.
func Stream(ln net.Listener, certificate *Certificate, handler http.Handler, log *slog.Logger) Server {
	socket := ln
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	if certificate != nil {
		protocols.SetHTTP2(true)
		ln = newHandshakes(ln, certificate.Config())
	} else {
		protocols.SetUnencryptedHTTP2(true)
		ln = strictListener{ln, true}
	}
	upgraded, cut := context.WithCancel(context.Background())
	s := &http.Server{
		Handler: WithProgress(whileServing(upgraded, handler)), Protocols: &protocols,
		ReadHeaderTimeout: headerTimeout, WriteTimeout: stallTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxSiteHeader,
		DisableGeneralOptionsHandler: true, // OPTIONS * is for the origin to answer (RFC 9110 9.3.7)
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams, MaxReceiveBufferPerStream: streamBuffer, MaxReceiveBufferPerConnection: connectionBuffer,
			SendPingTimeout: idleTimeout, PingTimeout: pingTimeout, WriteByteTimeout: stallTimeout,
		},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	s.RegisterOnShutdown(cut)
	server := newServer(socket, ln, s)
	server.secret = certificate != nil
	return server
}

// maxSiteHeader bounds a request's head, which net/http answers with 431 beyond it, give or take 4 KiB. Cookies and long URLs
// of real sites go beyond 16 KiB; nginx takes 32 KiB (4 of 8), and Varnish 32 KiB.
const maxSiteHeader = 32 << 10

// Bounds of an HTTP/2 connection. What a client may have under way and what it may have sent that nobody has read yet;
// net/http itself bounds resets, CONTINUATION frames and settings.
const (
	maxStreams       = 100       // requests at a time; as RFC 9113 6.5.2 recommends
	streamBuffer     = 256 << 10 // bytes of one request's body
	connectionBuffer = 1 << 20   // bytes of all of them
	pingTimeout      = headerTimeout
)

// whileServing ends upgraded requests with ctx. http.Server lets all other requests finish, but forgets those whose
// connections were taken over.
func whileServing(ctx context.Context, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.Header["Upgrade"]) > 0 {
			until, cancel := context.WithCancel(r.Context())
			defer cancel()
			defer context.AfterFunc(ctx, cancel)()
			r = r.WithContext(until)
		}
		next.ServeHTTP(w, r)
	})
}
