// Package proxy tests cachesrv proxy in front of real sites: a static file server, a server of streams, a Django application;
// each with one line of configuration. And what many clients at once, and many URLs, cost it.
package proxy
