package serve

// inRequestLine: RFC 9112 3, with single spaces.
func (s *scanner) inRequestLine(b byte) (why string) {
	switch s.state {
	case inMethod:
		switch {
		case isToken[b]:
			s.size++
			return ""
		case b == ' ' && s.size > 0:
			s.state, s.size = inTarget, 0
			return ""
		}
	case inTarget:
		switch {
		case b > ' ' && b != 0x7f:
			s.size++
			return ""
		case b == ' ' && s.size > 0:
			s.state, s.size = inVersion, 0
			return ""
		}
	case inVersion:
		switch {
		case s.size < len(version) && b == version[s.size]:
			s.size++
			return ""
		case s.size == len(version) && (b == '0' || b == '1'):
			s.size++
			s.old = b == '0'
			return ""
		case s.size == len(version)+1 && b == '\r':
			s.state = atRequestLF
			return ""
		}
	}
	if b == '\n' {
		return bareLF
	}
	return oddLine
}

func (s *scanner) fieldStart(b byte) (why string) {
	switch {
	case b == '\r':
		s.state = atHeadLF
		return ""
	case b == '\n':
		return bareLF
	case b == ' ' || b == '\t': // RFC 9112 5.2; and 2.2 for the first line
		return folded
	}
	s.state, s.size = inName, 0
	return s.inFieldName(b)
}

// inFieldName: RFC 9112 5.1 demands that a space before the colon is refused; and 9110 5.1 that a name is a token.
func (s *scanner) inFieldName(b byte) (why string) {
	switch {
	case isToken[b]:
		if s.size < maxScanned {
			s.name[s.size] = lower(b)
		}
		s.size++
		return ""
	case b == ':' && s.size > 0:
		s.state, s.field, s.valueSize = inValue, s.fieldNamed(), -1
		if s.field == lengthField || s.field == codingField {
			s.valueSize = 0
		}
		return ""
	case b == '\n':
		return bareLF
	}
	return oddName
}

func (s *scanner) fieldNamed() scanField {
	if s.trailer { // net/http heeds none of these there
		return otherField
	}
	switch string(s.name[:min(s.size, maxScanned)]) { // 24 bytes are none of these
	case "content-length":
		return lengthField
	case "transfer-encoding":
		return codingField
	case "upgrade":
		return upgradeField
	}
	return otherField
}

func (s *scanner) inFieldValue(b byte) (why string) {
	switch {
	case b == '\r':
		s.state = atFieldLF
	case b == '\n':
		return bareLF
	case s.valueSize < 0 || s.valueSize == 0 && (b == ' ' || b == '\t'):
	case s.valueSize == maxScanned:
		if b != ' ' && b != '\t' {
			return s.oddValue()
		}
	default:
		s.value[s.valueSize] = b
		s.valueSize++
	}
	return ""
}

func (s *scanner) oddValue() string {
	if s.field == lengthField {
		return oddLength
	}
	return oddCoding
}

// fieldEnd takes in what a field says of the request's framing.
func (s *scanner) fieldEnd() (why string) {
	value := s.value[:max(s.valueSize, 0)]
	for len(value) > 0 && (value[len(value)-1] == ' ' || value[len(value)-1] == '\t') {
		value = value[:len(value)-1]
	}
	switch s.field {
	case upgradeField:
		s.upgrade = true
	case lengthField:
		// RFC 9112 6.3 lets recipients take several that are equal for one. Nobody sends them who means well.
		if s.sized || len(value) == 0 {
			return oddLength
		}
		for _, b := range value {
			digit := int64(b) - '0'
			if digit < 0 || digit > 9 || s.length > (1<<63-1-digit)/10 {
				return oddLength
			}
			s.length = 10*s.length + digit
		}
		s.sized = true
	case codingField:
		if s.chunked || len(value) != len("chunked") {
			return oddCoding
		}
		for i, b := range value {
			if lower(b) != "chunked"[i] {
				return oddCoding
			}
		}
		if s.old { // RFC 9112 6.1: its framing is faulty
			return oldCoding
		}
		s.chunked = true
	}
	if s.sized && s.chunked { // RFC 9112 6.1: may be an attempt at smuggling
		return twoFrames
	}
	return ""
}

// inChunkLine: RFC 9112 7.1, without the space before an extension that it lets recipients take.
func (s *scanner) inChunkLine(b byte) (why string) {
	if s.state == inExtension {
		return s.inChunkExtension(b)
	}
	digit := int64(hexDigit(b))
	switch {
	case digit >= 0:
		if s.size++; s.size > 16 || s.left > (maxChunkSize-digit)/16 {
			return oddChunk
		}
		s.left = 16*s.left + digit
		return ""
	case b == '\n':
		return bareLF
	case s.size == 0:
	case b == ';':
		s.state, s.size, s.quoted, s.escaped = inExtension, 0, false, false
		return ""
	case b == '\r':
		s.state = atChunkLF
		return ""
	}
	return oddChunk
}

// inChunkExtension lets go by whatever is there, if nobody can think that the line goes on.
func (s *scanner) inChunkExtension(b byte) (why string) {
	if s.size++; s.size > maxExtension {
		return oddExtra
	}
	switch {
	case b == '\n':
		return bareLF
	case b == '\r' && !s.quoted:
		s.state = atChunkLF
	case b < ' ' && b != '\t' || b == 0x7f:
		return oddExtra
	case s.escaped:
		s.escaped = false
	case s.quoted && b == '\\':
		s.escaped = true
	case b == '"':
		s.quoted = !s.quoted
	}
	return ""
}

func lower(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b + ('a' - 'A')
	}
	return b
}

func hexDigit(b byte) int {
	switch b = lower(b); {
	case '0' <= b && b <= '9':
		return int(b - '0')
	case 'a' <= b && b <= 'f':
		return int(b-'a') + 10
	}
	return -1
}

// isToken has the characters of a token: RFC 9110 5.6.2.
var isToken = [256]bool{
	'!': true, '#': true, '$': true, '%': true, '&': true, '\'': true, '*': true, '+': true, '-': true, '.': true, '^': true, '_': true, '`': true, '|': true, '~': true,
	'0': true, '1': true, '2': true, '3': true, '4': true, '5': true, '6': true, '7': true, '8': true, '9': true,
	'A': true, 'B': true, 'C': true, 'D': true, 'E': true, 'F': true, 'G': true, 'H': true, 'I': true, 'J': true, 'K': true, 'L': true, 'M': true,
	'N': true, 'O': true, 'P': true, 'Q': true, 'R': true, 'S': true, 'T': true, 'U': true, 'V': true, 'W': true, 'X': true, 'Y': true, 'Z': true,
	'a': true, 'b': true, 'c': true, 'd': true, 'e': true, 'f': true, 'g': true, 'h': true, 'i': true, 'j': true, 'k': true, 'l': true, 'm': true,
	'n': true, 'o': true, 'p': true, 'q': true, 'r': true, 's': true, 't': true, 'u': true, 'v': true, 'w': true, 'x': true, 'y': true, 'z': true,
}
