package serve

import "bytes"

// A scanner follows the bytes that an HTTP/1 client sends, request after request, and finds the first that two servers
// could read in two ways: whoever is in front of this one, or behind it, may have read them in the other (request smuggling,
// CWE-444). It asks for what RFC 9112 says of senders, where that lets recipients be lenient. What is wrong in one way only,
// as a missing Host, is left to net/http. It keeps nothing of what it reads but the framing, allocates nothing, and
// does not look at bodies. The zero value stands before the first request. Not safe for concurrent use.
type scanner struct {
	state scanState
	// why says what is wrong; "": nothing yet. Then nothing more may be fed.
	why string
	// requests counts the heads that have ended.
	requests int64
	// paused: the head of a request without a body, but with an Upgrade field, has just ended. What follows may not be HTTP.
	paused bool

	old       bool             // HTTP/1.0
	blank     bool             // an empty line stood in front of this request
	trailer   bool             // the fields are those behind the last chunk
	name      [maxScanned]byte // of the field, in lower case
	value     [maxScanned]byte // of a field that counts, without the space in front
	size      int              // bytes of what is being read: method, target, version, name, extension, or digits
	valueSize int              // -1: the value does not count
	length    int64            // Content-Length; meaningful if sized
	left      int64            // bytes of the body, or of the chunk
	field     scanField
	sized     bool // there was a Content-Length
	chunked   bool
	upgrade   bool
	quoted    bool // inside a quoted string of a chunk extension
	escaped   bool // behind a backslash there
}

const (
	maxScanned   = 24      // bytes of names and values that count: longer ones have no meaning
	maxExtension = 256     // bytes of the extensions of a chunk; nobody needs them, and net/http takes 4 KiB
	maxChunkSize = 1 << 60 // bytes of a chunk: all of these sizes fit into an int64
	version      = "HTTP/1."
)

type scanState uint8

const (
	atRequest scanState = iota // before a request line
	atBlankLF                  // each …LF is behind a CR
	inMethod
	inTarget
	inVersion
	atRequestLF
	atField // at the beginning of a field line, or of the empty line behind the last one
	inName
	inValue
	atFieldLF
	atHeadLF
	inBody  // this and all below are behind the head
	atChunk // in a chunk's size
	inExtension
	atChunkLF
	inChunk
	atChunkEnd
	atChunkEndLF
)

type scanField uint8

const (
	otherField scanField = iota
	lengthField
	codingField
	upgradeField
)

// feed reads on. It returns how many bytes are good: fewer than there are if why is set, or if the scanner has paused.
func (s *scanner) feed(p []byte) (n int) {
	s.paused = false
	for n < len(p) {
		switch s.state {
		case inBody, inChunk:
			m := min(s.left, int64(len(p)-n))
			n += int(m)
			if s.left -= m; s.left == 0 {
				s.endOfBytes()
			}
			continue
		case inValue:
			if s.valueSize < 0 { // most of a head is this
				n += lineLength(p[n:])
			}
		case inTarget:
			for n < len(p) && p[n] > ' ' && p[n] < 0x7f {
				n++
				s.size++
			}
		case inName:
			for n < len(p) && isToken[p[n]] && s.size < maxScanned {
				s.name[s.size] = lower(p[n])
				n++
				s.size++
			}
		}
		if n == len(p) {
			return n
		}
		if s.why = s.step(p[n]); s.why != "" {
			return n
		}
		if n++; s.paused {
			return n
		}
	}
	return n
}

// behindHead reports whether a request's head has ended, and its body, with the trailer, has not.
func (s *scanner) behindHead() bool { return s.state >= inBody || s.trailer }

// lineLength counts the bytes in front of a CR or LF.
func lineLength(p []byte) int {
	if i := bytes.IndexByte(p, '\r'); i >= 0 {
		p = p[:i]
	}
	if i := bytes.IndexByte(p, '\n'); i >= 0 {
		return i
	}
	return len(p)
}

func (s *scanner) endOfBytes() {
	if s.state == inChunk {
		s.state = atChunkEnd
		return
	}
	s.begin()
}

// begin is between two requests.
func (s *scanner) begin() { *s = scanner{requests: s.requests} }

// What is wrong, as the client is told.
const (
	bareLF    = "a line ends without CR"
	bareCR    = "a CR that is no end of a line"
	oddLine   = "the request line is not METHOD SP TARGET SP HTTP/1.1 (or 1.0)"
	folded    = "a header line begins with a space"
	oddName   = "a header name has characters that no name may have, or a space before the colon"
	oddLength = "Content-Length is not one decimal number, or is there twice"
	oddCoding = "Transfer-Encoding is not chunked, or is there twice"
	oldCoding = "Transfer-Encoding in HTTP/1.0"
	twoFrames = "both Content-Length and Transfer-Encoding"
	oddChunk  = "a chunk does not begin with its size in plain hexadecimal digits"
	oddExtra  = "a chunk's extension is malformed or long"
	chunkEnd  = "a chunk does not end with CR LF"
)

// step reads a byte that is not in a body, and says what is wrong with it.
func (s *scanner) step(b byte) (why string) {
	switch s.state {
	case atRequest:
		if b == '\r' && !s.blank { // RFC 9112 2.2: one empty line may be there; net/http decides
			s.state = atBlankLF
			return ""
		}
		s.state, s.size = inMethod, 0
		return s.inRequestLine(b)
	case inMethod, inTarget, inVersion:
		return s.inRequestLine(b)
	case inExtension, atChunk:
		return s.inChunkLine(b)
	case atField:
		return s.fieldStart(b)
	case inName:
		return s.inFieldName(b)
	case inValue:
		return s.inFieldValue(b)
	case atChunkEnd:
		if b != '\r' {
			return chunkEnd
		}
		s.state = atChunkEndLF
		return ""
	}
	if b != '\n' { // all other states are behind a CR
		return bareCR
	}
	return s.lineEnd()
}

// lineEnd is at the LF of a line.
func (s *scanner) lineEnd() (why string) {
	switch s.state {
	case atBlankLF:
		s.state, s.blank = atRequest, true
	case atRequestLF:
		s.state = atField
	case atFieldLF:
		s.state = atField
		return s.fieldEnd()
	case atHeadLF:
		s.headEnd()
	case atChunkLF:
		if s.left > 0 {
			s.state = inChunk
		} else {
			s.state, s.trailer = atField, true
		}
	case atChunkEndLF:
		s.state, s.size = atChunk, 0
	}
	return ""
}

// headEnd tells where the next request begins: RFC 9112 6.3.
func (s *scanner) headEnd() {
	switch {
	case s.trailer:
		s.begin()
		return
	case s.chunked:
		s.state, s.size, s.left = atChunk, 0, 0
	case s.length > 0:
		s.state, s.left = inBody, s.length
	default:
		upgrade := s.upgrade
		s.begin()
		s.paused = upgrade
	}
	s.requests++
}
