//go:build !e2e

package catalog

import (
	"os"
	"testing"
)

func runTests(m *testing.M) { os.Exit(m.Run()) }
