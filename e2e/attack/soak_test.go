//go:build e2e && soak

package attack

const unknownProjects = 10_000
