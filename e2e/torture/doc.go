// Package torture loads a cache with readers and committers that race each other, and counts every broken promise.
//
// Committers give pages new versions; readers ask for pages. Before a reader sends the first byte of a request it notes
// which version's invalidation has returned; an answer older than that is a stale read (promise P1). Every page's body is
// a function of its number and version, so that a part of a page, a mixture, or another page's body, headers or
// compressed form is a torn page (P6). When the load has ended and all was silent for a while, a page that is still old is
// a survivor: nothing would ever have removed it. A run that saw any of these, a failed request that no fault excuses, an
// orphaned claim, or an inventory that disagrees with the files, has failed.
//
// Run takes what is to be tortured apart into small pieces, each with several forms:
//
//   - a Target serves the pages: an Application (the test program in app/, or our package index, as a child), several
//     Instances of it on one folder, or a cache server before an Origin, with or without another server before that
//   - Pages say which pages those are, and how a version is read from an answer: numbered ones of the test program, or an
//     index's, which show the releases of projects
//   - a Committer commits and invalidates: through the application's hooks by key, tag or prefix (Application.By), by
//     two bare unlinks in a plain folder (Unlink), or by a request to the cache server (OverHTTP)
//   - a Reader reads: over HTTP in all the ways a client may ask, or straight from the published files and twins, as
//     another server would
//   - a Fault harms the target meanwhile: KillAtRandom, KillAtPoints; while committers go on, CrashUnderCommits, Hangups, and a
//     Fencer
//
// Setup, IndexSetup and ProxySetup put the usual combinations together. A control is a target that was built wrong
// (cache/fault): its run must fail, or the check is worth nothing. So must that of a cache of another make (PeerSetup): the
// same judge finds stale pages there. The checker itself is checked on a cache in memory that can be wrong in every way it
// looks for.
//
// All choices of a run (pages, pauses, encodings, kills) follow from Load.Seed, though what the kernel makes of them does
// not.
//
//	go test -tags e2e ./e2e/torture                  a short sample of everything; with -tags soak, at length
//	go test -tags e2e ./e2e/torture -args -seed=N    again, with the choices of a run that failed
//	go run ./e2e/torture/cmd/torture --help          one run by hand
package torture
