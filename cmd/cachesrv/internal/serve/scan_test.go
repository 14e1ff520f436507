package serve

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// follows feeds a stream in parts of this many bytes: why it is refused, behind how many good bytes, and where requests ended.
func follows(stream []byte, part int) (why string, good int, ends []int) {
	var s scanner
	for good < len(stream) {
		end := min(good+part, len(stream))
		n := s.feed(stream[good:end])
		if good += n; s.why != "" {
			return s.why, good, ends
		}
		if s.state == atRequest && !s.blank && n > 0 {
			ends = append(ends, good)
		}
	}
	return "", good, ends
}

const (
	line   = "POST / HTTP/1.1\r\nHost: h\r\n"
	chunks = line + "Transfer-Encoding: chunked\r\n\r\n"
)

// TestScanner: in each stream | stands where it is refused; without one it is not, and it ends between two requests. However the
// stream is cut.
func TestScanner(t *testing.T) {
	for _, tt := range []struct{ name, stream, why string }{
		{"request", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", ""},
		{"requests", "GET / HTTP/1.1\r\n\r\nGET / HTTP/1.0\r\n\r\n", ""},
		{"empty line", "\r\nGET / HTTP/1.1\r\n\r\n", ""},
		{"body", line + "Content-Length: 4\r\n\r\na\nb\rGET / HTTP/1.1\r\n\r\n", ""},
		{"spaces around", line + "Content-Length: \t 4 \t                                       \r\n\r\nabcd", ""},
		{"zeros", line + "Content-Length: 0004\r\n\r\nabcd", ""},
		{"empty body", line + "Content-Length: 0\r\n\r\nGET / HTTP/1.1\r\n\r\n", ""},
		{"name without a meaning", line + "Content-Length-: 4\r\nContent_Length: 4\r\nX-Content-Length-And-More-Of-It: 4\r\n\r\n", ""},
		{"chunks", chunks + "3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n", ""},
		{"CHUNKS", line + "TRANSFER-ENCODING:chuNKED\r\n\r\n0\r\n\r\n", ""},
		{"zeros in a size", chunks + "0000000000000003\r\nabc\r\n000\r\n\r\n", ""},
		{"extensions", chunks + "3;a=b; c=\"d\\\";\";e\r\nabc\r\n0;f\r\n\r\n", ""},
		{"trailer", chunks + "0\r\nX-Sum: 1\r\nContent-Length: 7\r\nTransfer-Encoding: x\r\n\r\nGET / HTTP/1.1\r\n\r\n", ""},
		{"upgrades with bodies", line + "Upgrade: x\r\nContent-Length: 4\r\n\r\na\nb\n" + line + "Upgrade: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na\nb\r\n0\r\n\r\n", ""},
		{"high bytes", "GET /\xe9 HTTP/1.1\r\nX: \xe9\r\n\r\n", ""},

		{"two empty lines", "\r\n|\r\nGET / HTTP/1.1\r\n\r\n", oddLine},
		{"LF in front", "|\nGET / HTTP/1.1\r\n\r\n", bareLF},
		{"CR in front", "\r|GET / HTTP/1.1\r\n\r\n", bareCR},
		{"space in front", "| GET / HTTP/1.1\r\n\r\n", oddLine},
		{"two spaces", "GET |  / HTTP/1.1\r\n\r\n", oddLine},
		{"two spaces behind", "GET / | HTTP/1.1\r\n\r\n", oddLine},
		{"tab", "GET|\t/ HTTP/1.1\r\n\r\n", oddLine},
		{"method", "G|/T / HTTP/1.1\r\n\r\n", oddLine},
		{"control character", "GET /|\x00 HTTP/1.1\r\n\r\n", oddLine},
		{"DEL", "GET /|\x7f HTTP/1.1\r\n\r\n", oddLine},
		{"HTTP/0.9", "GET /|\r\n", oddLine},
		{"version", "GET / HTTP/1.|2\r\n\r\n", oddLine},
		{"long version", "GET / HTTP/1.1|0\r\n\r\n", oddLine},
		{"lower case", "GET / |http/1.1\r\n\r\n", oddLine},
		{"preface", "PRI * HTTP/|2.0\r\n\r\nSM\r\n\r\n", oddLine},
		{"third word", "GET / HTTP/1.1| x\r\n\r\n", oddLine},
		{"LF behind the request line", "GET / HTTP/1.1|\nHost: h\r\n\r\n", bareLF},
		{"CR behind the request line", "GET / HTTP/1.1\r|Host: h\r\n\r\n", bareCR},
		{"folded", line + "X: a\r\n| b\r\n\r\n", folded},
		{"folded by a tab", line + "X: a\r\n|\tb\r\n\r\n", folded},
		{"folded first line", "GET / HTTP/1.1\r\n| X: a\r\n\r\n", folded},
		{"LF behind a field", line + "X: a|\nY: b\r\n\r\n", bareLF},
		{"CR behind a field", line + "X: a\r|Y: b\r\n\r\n", bareCR},
		{"CR CR LF", line + "X: a\r|\r\n\r\n", bareCR},
		{"LF at the end", line + "|\n", bareLF},
		{"CR at the end", line + "\r|\r\n", bareCR},
		{"LF in a name", line + "X|\n\r\n", bareLF},
		{"space before the colon", line + "X| : a\r\n\r\n", oddName},
		{"empty name", line + "|: a\r\n\r\n", oddName},
		{"no colon", line + "X|\r\n\r\n", oddName},
		{"NUL in a name", line + "|\x00X: a\r\n\r\n", oddName},
		{"both", line + "Content-Length: 0\r\nTransfer-Encoding: chunked\r|\n\r\n", twoFrames},
		{"both the other way", line + "Transfer-Encoding: chunked\r\nContent-Length: 0\r|\n\r\n", twoFrames},
		{"old", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r|\n\r\n", oldCoding},
		{"coding", line + "Transfer-Encoding: chunke\r|\n\r\n", oddCoding},
		{"long coding", line + "Transfer-Encoding: chunked, and many other |codings\r\n\r\n", oddCoding},
		{"coding twice", line + "Transfer-Encoding: chunked\r\ntransfer-encoding: chunked\r|\n\r\n", oddCoding},
		{"list", line + "Transfer-Encoding: chunked,\r|\n\r\n", oddCoding},
		{"no coding", line + "Transfer-Encoding:\r|\n\r\n", oddCoding},
		{"length twice", line + "Content-Length: 3\r\nContent-Length: 3\r|\n\r\n", oddLength},
		{"zero twice", line + "Content-Length: 0\r\nContent-Length: 0\r|\n\r\n", oddLength},
		{"plus", line + "Content-Length: +3\r|\n\r\n", oddLength},
		{"minus", line + "Content-Length: -3\r|\n\r\n", oddLength},
		{"hexadecimal", line + "Content-Length: 0x3\r|\n\r\n", oddLength},
		{"lengths", line + "Content-Length: 3, 3\r|\n\r\n", oddLength},
		{"no length", line + "Content-Length: \r|\n\r\n", oddLength},
		{"overflow", line + "Content-Length: 9223372036854775808\r|\n\r\n", oddLength},
		{"long length", line + "Content-Length: 000000000000000000000000|0\r\n\r\n", oddLength},
		{"space before a size", chunks + "| 3\r\nabc\r\n0\r\n\r\n", oddChunk},
		{"space behind a size", chunks + "3| \r\nabc\r\n0\r\n\r\n", oddChunk},
		{"sign", chunks + "|+3\r\nabc\r\n0\r\n\r\n", oddChunk},
		{"0x", chunks + "0|x3\r\nabc\r\n0\r\n\r\n", oddChunk},
		{"no size", chunks + "|\r\n\r\n", oddChunk},
		{"only an extension", chunks + "|;a\r\n\r\n", oddChunk},
		{"17 digits", chunks + "0000000000000000|3\r\nabc\r\n0\r\n\r\n", oddChunk},
		{"huge", chunks + "100000000000000|1\r\n", oddChunk},
		{"LF behind a size", chunks + "3|\nabc\r\n0\r\n\r\n", bareLF},
		{"CR behind a size", chunks + "3\r|abc\r\n0\r\n\r\n", bareCR},
		{"LF in an extension", chunks + "3;a|\nabc\r\n0\r\n\r\n", bareLF},
		{"CR in an extension", chunks + "3;a\r|b\r\nabc\r\n0\r\n\r\n", bareCR},
		{"NUL in an extension", chunks + "3;a|\x00\r\nabc\r\n0\r\n\r\n", oddExtra},
		{"line end in quotes", chunks + "3;a=\"b|\r\nabc\r\n0\r\n\r\n", oddExtra},
		{"line end in quotes, behind a backslash", chunks + "3;a=\"b\\\"|\r\nabc\r\n0\r\n\r\n", oddExtra},
		{"long extension", chunks + "3;" + strings.Repeat("x", maxExtension) + "|x\r\nabc\r\n0\r\n\r\n", oddExtra},
		{"LF behind a chunk", chunks + "3\r\nabc|\n0\r\n\r\n", chunkEnd},
		{"CR behind a chunk", chunks + "3\r\nabc\r|0\r\n\r\n", bareCR},
		{"long chunk", chunks + "3\r\nabc|d\r\n0\r\n\r\n", chunkEnd},
		{"LF behind the last size", chunks + "0|\n\r\n", bareLF},
		{"LF at the very end", chunks + "0\r\n|\n", bareLF},
		{"folded trailer", chunks + "0\r\nX: a\r\n| b\r\n\r\n", folded},
		{"space in a trailer", chunks + "0\r\nX| : a\r\n\r\n", oddName},
		{"the next request", chunks + "0\r\n\r\nGET / HTTP/1.1\r\nX: a|\n\r\n", bareLF},
		{"the one behind a body", line + "Content-Length: 3\r\n\r\nabc|\n", bareLF},
	} {
		before, after, refused := strings.Cut(tt.stream, "|")
		stream := []byte(before + after)
		if refused != (tt.why != "") {
			t.Errorf("%s: a test of nothing", tt.name)
		}
		for _, part := range []int{1, 2, 3, 7, len(stream)} {
			why, good, ends := follows(stream, part)
			if why != tt.why || good != len(before) {
				t.Errorf("%s, in parts of %d: %q behind %q; want %q behind %q", tt.name, part, why, stream[:good], tt.why, before)
			}
			if !refused && (len(ends) == 0 || ends[len(ends)-1] != len(stream)) {
				t.Errorf("%s, in parts of %d: requests end at %d, not at %d", tt.name, part, ends, len(stream))
			}
		}
	}
}

// FuzzScanner: where the scanner sees a request's end, net/http sees it, too; and of what is refused net/http makes no request.
func FuzzScanner(f *testing.F) {
	for _, seed := range []string{
		"GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.0\r\n\r\n", "\r\nGET / HTTP/1.1\r\n\r\n",
		line + "Content-Length: 4\r\n\r\nabcdGET / HTTP/1.1\r\n\r\n", line + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		chunks + "3;a=\"b\\\"\"\r\nabc\r\n0\r\nX: y\r\n\r\nGET / HTTP/1.1\r\n\r\n", chunks + "3\nabc\r\n", chunks + "0x3\r\nabc\r\n0\r\n\r\n",
		"GET / HTTP/1.1\r\nX: a\r\n b\r\n\r\n", "GET / HTTP/1.1\r\nUpgrade: x\r\n\r\nGET / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		line + "Content-Length : 4\r\nContent-Length: +3\r\n\r\nabcd", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		why, good, ends := follows(stream, 1)
		if why2, good2, _ := follows(stream, max(1, len(stream))); why2 != why || good2 != good {
			t.Fatalf("%q behind %d bytes; cut up, %q behind %d", why2, good2, why, good)
		}
		if why != "" {
			stream = append(bytes.Clone(stream[:good]), poison...)
		}
		source := bytes.NewReader(stream)
		r := bufio.NewReader(source)
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			if _, err := io.Copy(io.Discard, req.Body); err != nil {
				return
			}
			if end := len(stream) - source.Len() - r.Buffered(); !slices.Contains(ends, end) {
				t.Fatalf("%q: net/http's %s request ends at %d, ours at %d", stream, req.Method, end, ends)
			}
		}
	})
}

// request is a head of about 600 bytes, as browsers send them.
const request = "GET /catalogue/teapots/brown-betty?colour=brown&size=2 HTTP/1.1\r\nHost: shop.example.org\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: de,en-US;q=0.7,en;q=0.3\r\n" +
	"Accept-Encoding: gzip, deflate, br, zstd\r\nReferer: https://shop.example.org/catalogue/teapots\r\nConnection: keep-alive\r\n" +
	"Upgrade-Insecure-Requests: 1\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\nPriority: u=0, i\r\n\r\n"

// BenchmarkStrict: what a head costs, and a body of 64 KiB.
func BenchmarkStrict(b *testing.B) {
	body := string(make([]byte, 64<<10))
	for _, bb := range []struct{ name, stream string }{
		{"head", request},
		{"body", line + "Content-Length: 65536\r\n\r\n" + body},
		{"chunk", chunks + "10000\r\n" + body + "\r\n0\r\n\r\n"},
	} {
		b.Run(bb.name, func(b *testing.B) {
			stream := []byte(bb.stream)
			b.SetBytes(int64(len(stream)))
			b.ReportAllocs()
			var s scanner
			for b.Loop() {
				if s.feed(stream) != len(stream) {
					b.Fatal(s.why)
				}
			}
		})
	}
}
