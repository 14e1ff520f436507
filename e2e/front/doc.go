// Package front tests the configurations of static/front with the real servers in front of the real binary: the same answers
// through them and through us, and which file they look for.
package front
