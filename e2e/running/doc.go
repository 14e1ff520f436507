// Package running tests how the real binary is run: restarts on sockets that stay open, reloads, several instances on one folder,
// fences by hand, and the watchdog; under load, with every lost request and every stale answer counted. The tests play systemd's
// part themselves: they pass sockets, hear what the program says, kill what hangs, and run what a unit says is to be run then.
package running
