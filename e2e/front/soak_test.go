//go:build e2e && soak

package front

const rounds = 100_000 // targets compared
