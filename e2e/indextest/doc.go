// Package indextest is a client of a package index, for tests: it uploads as twine does, reads as installers do, and
// hides nothing of an answer. It knows nothing of how the index is made.
package indextest
