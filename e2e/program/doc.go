// Package program builds and starts programs for tests of the whole: ours, as anybody would build it, and those that it
// works with.
package program
