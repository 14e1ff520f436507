//go:build linux && e2e && !soak

package power

// A sample, small enough for every change.
const (
	soaking    = false
	cutsEach   = 2 // under load, of each kind of application on each file system
	kindsTried = 2
	cycles     = 1 // of stops and starts, likewise
	within     = 1 // cuts of one stop, start or recovery
	undone     = 3 // stops whose last commits the cut undoes, on each file system
	recovered  = 1 // recoveries that are cut in turn, likewise
)
