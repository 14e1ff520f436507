// Package fault is the seam through which tests stop or break the real program: points at which it kills itself, and
// controls that break the protocol on purpose, to show that a check notices. Both exist only in builds with the tag
// cachesrv_fault; otherwise the functions here compile to nothing.
//
// Such a build reads two variables:
//
//	CACHESRV_KILL=LABEL[:N]   SIGKILL the process the N-th time (default 1) it passes the point LABEL
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
	ClaimAfterRead   = "claim-after-read"   // the claim is taken after the render
	PublishByRename  = "publish-by-rename"  // rename(page.tmp, page) by path, whoever's .tmp that is
	TagsUnchecked    = "tags-unchecked"     // no look for newer invalidations of the page's tags
	KeepTwins        = "keep-twins"         // a fill leaves old twins lying
	PageBeforeClaim  = "page-before-claim"  // an invalidation unlinks the page, then the claim
	UnlinkBeforeSeen = "unlink-before-seen" // hooks invalidate before COMMIT
)
