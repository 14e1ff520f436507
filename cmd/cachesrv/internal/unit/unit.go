// Package unit holds the kinds of value a configuration has beyond text: sizes, counts and durations. Each reads what
// people write, refuses anything else with the place it stands at, and writes what it reads.
package unit

import (
	"encoding"
	"fmt"
	"strconv"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// A Count is a whole number, not negative.
type Count int64

// UnmarshalText reads decimal digits.
func (c *Count) UnmarshalText(text []byte) error {
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || n < 0 {
		return fmt.Errorf("%q is not a whole number", text)
	}
	*c = Count(n)
	return nil
}

// A Duration is written as Go does: "90s", "1h30m".
type Duration time.Duration

// UnmarshalText reads a duration.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a duration like 90s or 1h30m", text)
	}
	*d = Duration(v)
	return nil
}

func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText writes what UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// The YAML library tells the line of an error only if the error carries the token; UnmarshalText has none.

func (c *Count) UnmarshalYAML(node ast.Node) error    { return scalar(node, c) }
func (d *Duration) UnmarshalYAML(node ast.Node) error { return scalar(node, d) }
func (s *Size) UnmarshalYAML(node ast.Node) error     { return scalar(node, s) }

func scalar(node ast.Node, into encoding.TextUnmarshaler) error {
	if err := into.UnmarshalText([]byte(node.GetToken().Value)); err != nil {
		return &yaml.SyntaxError{Message: err.Error(), Token: node.GetToken()}
	}
	return nil
}
