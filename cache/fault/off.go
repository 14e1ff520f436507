//go:build !cachesrv_fault

package fault

import "time"

// A Label says what a call is for. In this build it has neither a size nor a text.
type Label struct{}

func label(string) Label { return Label{} }

// Enabled: this build has the seam.
const Enabled = false

// Point does nothing in this build.
func Point(string) {}

// Broken is false in this build.
func Broken(string) bool { return false }

// Enter does nothing in this build.
func Enter(Label, Mode, string) error { return nil }

// Leave returns the error it is given in this build.
func Leave(_ Label, err error) error { return err }

// Saw does nothing in this build.
func Saw[T any](Label, T) {}

// After is time.After in this build.
func After(d time.Duration) <-chan time.Time { return time.After(d) }

// Pause does nothing in this build.
func Pause(time.Duration) {}

// Do makes a call that is none of package sys under its label.
func Do(l Label, m Mode, name string, call func() error) error {
	if err := Enter(l, m, name); err != nil {
		return err
	}
	return Leave(l, call())
}
