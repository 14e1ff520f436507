//go:build linux && soak

package power

// 200 cuts under load, and more than twice as many around starts, stops and recoveries.
const (
	soaking    = true
	cutsEach   = 25
	kindsTried = 4
	cycles     = 5
	within     = 5  // cuts of one stop, start or recovery
	undone     = 30 // stops whose last commits the cut undoes, on each file system
	recovered  = 5
)
