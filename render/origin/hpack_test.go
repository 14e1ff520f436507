package origin

import (
	"bytes"

	"golang.org/x/net/http2/hpack"
)

// hpackBlock encodes names and values in turn.
func hpackBlock(fields ...string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for i := 0; i < len(fields); i += 2 {
		_ = e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return b.Bytes()
}

func newDecoder() *hpack.Decoder { return hpack.NewDecoder(4096, nil) }
