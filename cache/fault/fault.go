// Package fault is the seam through which tests stop, break and order the real program. Every call to the file system and
// every transaction of the inventory passes it under a Label that says what the call is for; there are points at which a
// process can be killed; and there are controls that break the protocol on purpose, to show that a check notices. All of it
// exists only in builds with the tag cachesrv_fault; otherwise the functions here compile to nothing, and labels have no size.
//
// Such a build reads these variables:
//
//	CACHESRV_KILL=NAME[:N]    SIGKILL the process the N-th time (default 1) it passes the point, or is about to make the
//	                          call with the label, NAME
//	CACHESRV_FAIL=LABEL[:N][:ERRNO][:after]
//	                          the N-th call (default 1; "N+": it and all later ones) with that label fails with ERRNO
//	                          (default EIO): it is not made, or, with "after", it is made and its success not believed
//	CACHESRV_TRACE=FILE       append each label and point passed to FILE, a line each
//	CACHESRV_CONTROL=NAME     break the protocol in the way NAME
package fault

// Points, each named after what has just happened, or is about to.
const (
	FillClaimed    = "fill.claimed"     // a claim is held, nothing was read yet
	FillWrite      = "fill.write"       // in the middle of a render
	PublishRow     = "publish.row"      // the inventory row is committed, the page has no name yet
	PublishLinked  = "publish.linked"   // the page has its name, the claim still exists
	DropClaim      = "drop.claim"       // an invalidation is about to unlink the claim
	DropPage       = "drop.page"        // the claim is gone, the page not yet
	CommitRecorded = "commit.recorded"  // the outbox row is written, COMMIT not yet sent
	CommitDone     = "commit.committed" // COMMIT has returned, nothing was invalidated yet
)

// Points of the package index.
const (
	UploadReceived  = "upload.received"  // all bytes have arrived, nothing was looked at yet
	UploadIntended  = "upload.intended"  // the intent is durable, nothing is in the database
	UploadLinked    = "upload.linked"    // the file has its name, the rows are not committed
	UploadCommitted = "upload.committed" // the rows are committed and the pages dropped, the intent still exists
	DeleteIntended  = "delete.intended"  // the intents are durable, the rows still there
	DeleteCommitted = "delete.committed" // the rows are gone and the pages dropped, the files still there
)

// Controls: each is a way to build this system wrong.
const (
	ClaimAfterRead    = "claim-after-read"    // the claim is taken after the render
	PublishByRename   = "publish-by-rename"   // rename(page.tmp, page) by path, whoever's .tmp that is
	CompareAndRename  = "compare-and-rename"  // the same, after a look whether it still is our .tmp
	ReopenedFolder    = "reopened-folder"     // publication into the folder that has the name now, not the one of the claim
	HeldFolder        = "held-folder"         // a hit is checked through a held inner folder
	TagsUnchecked     = "tags-unchecked"      // no look for newer invalidations of the page's tags
	CounterAfterRead  = "counter-after-read"  // the invalidation counter is noted when the render has ended
	KeepTwins         = "keep-twins"          // a fill leaves old twins lying
	PageBeforeClaim   = "page-before-claim"   // an invalidation unlinks the page, then the claim
	StaleBeforePage   = "stale-before-page"   // an invalidation unlinks .stale, then the page
	RowsBeforeUnlinks = "rows-before-unlinks" // an invalidation by tag deletes the rows, then unlinks
	KeepRowsClaim     = "keep-rows-claim"     // an invalidation by tag unlinks the pages of its rows, and not their claims
	SettleUnnoticed   = "settle-unnoticed"    // an invalidation by key leaves no notice of what settles
	SettleLate        = "settle-late"         // it leaves it after its unlinks
	SettleAtPublish   = "settle-at-publish"   // what settles is compared with the time of publication, not of the claim
	UnlinkBeforeSeen  = "unlink-before-seen"  // hooks invalidate before COMMIT
)

// A Mode says how a call touches the name it is given, for a scheduler that wants to know which calls commute.
type Mode uint8

// Modes of calls.
const (
	Read    Mode = iota // it looks at the name
	Write               // it may change the name, or the file behind it
	Private             // it concerns nothing that others can see change
)

// A Hook sees every labelled call, before and after. All calls come from the goroutine that makes the labelled one.
type Hook interface {
	// Enter is told of a call that is about to be made, and of the name it is about; an error is returned in its stead.
	Enter(l Label, m Mode, name string) error
	// Leave is told how it ended.
	Leave(l Label, err error)
	// Saw is told what the caller learns from it besides an error.
	Saw(l Label, result any)
}
