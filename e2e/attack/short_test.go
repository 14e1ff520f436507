//go:build e2e && !soak

package attack

// unknownProjects is how many are asked for.
const unknownProjects = 1500
