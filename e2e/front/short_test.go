//go:build e2e && !soak

package front

const rounds = 4_000 // targets compared
