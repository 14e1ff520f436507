//go:build !cachesrv_fault

package cache

// holdInside and heldInside belong to a control; in this build there is none.

func holdInside(*liveView, *Page) {}

func heldInside(*liveView, *Page) bool { return false }
