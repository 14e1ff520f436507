//go:build e2e

// Package index tests `cachesrv index`, the real program, with the real clients: what twine uploads, pip must find at
// once, whatever else goes on, and whatever kills the program.
//
// Every choice follows from a seed, which is printed; -args -seed=N makes them again, though not what the kernel makes
// of them.
package index
