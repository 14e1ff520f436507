package fault

// The labels of calls, each named by what the call is for. A label may stand at several places that serve one purpose.
var (
	// Claims.

	ClaimFolder  = label("claim.folder")  // open, and make, the folders of the claim
	ClaimCreate  = label("claim.create")  // create NAME.tmp
	ClaimLock    = label("claim.lock")    // flock the file just created
	ClaimStat    = label("claim.stat")    // its inode number
	ClaimWrite   = label("claim.write")   // content into the claimed file
	ClaimMtime   = label("claim.mtime")   // its identity
	ClaimLinks   = label("claim.links")   // fstat: has it lost its name, or been copied?
	ClaimName    = label("claim.name")    // fstatat NAME.tmp: still ours?
	ClaimUnlink  = label("claim.unlink")  // give the name back
	ClaimClose   = label("claim.close")   // close the claimed file, and so its lock
	ClaimDup     = label("claim.dup")     // a second descriptor, to read a large body from
	FolderRemove = label("folder.remove") // remove a folder that a fill left empty
	OrphanOpen   = label("orphan.open")   // open a NAME.tmp that is somebody else's
	OrphanStat   = label("orphan.stat")   // fstat it
	OrphanLock   = label("orphan.lock")   // is its owner dead?
	OrphanName   = label("orphan.name")   // is it still the one at the name?
	OrphanUnlink = label("orphan.unlink") // take it away
	OrphanClose  = label("orphan.close")  // close it, and so its lock

	// Publication.

	WithheldStat = label("withheld.stat") // is anything withheld?
	WithheldRead = label("withheld.read") // what is withheld
	TwinClear    = label("twin.clear")    // unlink a twin that an earlier publication left
	PageLink     = label("page.link")     // give the claimed file its name
	PageReplace  = label("page.replace")  // unlink an older page that has the name
	PageLinks    = label("page.links")    // fstat after the link: copied?
	PageWithdraw = label("page.withdraw") // unlink a page whose claim was copied
	FormClear    = label("form.clear")    // unlink the page's other form
	GracedClear  = label("graced.clear")  // unlink a graced page that an earlier publication left

	// Twins.

	TwinPage     = label("twin.page")     // is the page still that publication?
	TwinOpen     = label("twin.open")     // open the page, or a twin that is there already
	TwinStat     = label("twin.stat")     // fstat it
	TwinRead     = label("twin.read")     // read it
	TwinWrite    = label("twin.write")    // content into the claimed file
	TwinMtime    = label("twin.mtime")    // its identity
	TwinLinks    = label("twin.links")    // fstat: has it lost its name?
	TwinLink     = label("twin.link")     // give it its name
	TwinStill    = label("twin.still")    // is the page still that publication, after the link?
	TwinWithdraw = label("twin.withdraw") // unlink a twin whose page has gone

	// Invalidations.

	DropFolder    = label("drop.folder")    // open a folder to drop from
	ClaimDrop     = label("claim.drop")     // unlink NAME.tmp
	PageDrop      = label("page.drop")      // unlink NAME or its private form
	TwinDrop      = label("twin.drop")      // unlink NAME.gz and the others
	GracedDrop    = label("graced.drop")    // unlink NAME.stale
	VariantsStat  = label("variants.stat")  // are there further variants?
	VariantsDrop  = label("variants.drop")  // rename NAME@ to the trash
	VariantsCount = label("variants.count") // list what was dropped
	SubtreeDrop   = label("subtree.drop")   // rename a folder to the trash
	HostsRead     = label("hosts.read")     // list pages/
	GraceStat     = label("grace.stat")     // is the page still that publication?
	PageGrace     = label("page.grace")     // rename NAME NAME.stale
	StandingStat  = label("standing.stat")  // is a row's publication still there?
	StripeLock    = label("stripe.lock")    // the portable back-end's lock of a page
	PositionsStat = label("positions.stat") // is the generation marked: are positions in use in it?
	PositionsMake = label("positions.make") // mark it

	// Transactions of the inventory.

	CounterRead     = label("counter.read")     // the invalidation counter
	RowCommit       = label("row.commit")       // look for newer invalidations, insert the row
	TwinCommit      = label("twin.commit")      // look for newer invalidations, note the twin
	IntentRecord    = label("intent.record")    // record an invalidation
	IntentDone      = label("intent.done")      // mark it as carried out
	IntentsRead     = label("intents.read")     // the invalidations left open
	RowFind         = label("row.find")         // the row of a file
	RowsRead        = label("rows.read")        // the rows to drop
	RowsCount       = label("rows.count")       // count them
	RowsNewest      = label("rows.newest")      // the largest id
	RowGraced       = label("row.graced")       // note a soft purge
	RowsDelete      = label("rows.delete")      // delete rows whose files are gone
	HitsWrite       = label("hits.write")       // add hits
	TotalsRead      = label("totals.read")      // number and bytes of all rows
	SieveWrite      = label("sieve.write")      // choose what to evict
	NoticeWrite     = label("notice.write")     // what settles, and the required position
	PositionRead    = label("position.read")    // the position of a source
	PositionWrite   = label("position.write")   // store it
	InventoryCreate = label("inventory.create") // make an empty inventory
	InventoryOpen   = label("inventory.open")   // open one

	// Hits.

	HitStat     = label("hit.stat")     // fstatat through live: still that publication?
	HitOpen     = label("hit.open")     // openat through live
	HitFstat    = label("hit.fstat")    // fstat what was opened
	HitRead     = label("hit.read")     // read it
	LiveStat    = label("live.stat")    // is there a live link?
	DamagedStat = label("damaged.stat") // is it still the damaged file?
	DamagedDrop = label("damaged.drop") // unlink it
	HitClose    = label("hit.close")    // close what is no hit

	// Generations.

	GenerationRead   = label("generation.read")   // readlink current
	GenerationLock   = label("generation.lock")   // the lock of retirements
	GenerationOpen   = label("generation.open")   // open gen-N/pages
	GenerationMake   = label("generation.make")   // make a folder of a new generation
	GenerationName   = label("generation.name")   // make current name it
	GenerationTrash  = label("generation.trash")  // rename gen-N to the trash
	GenerationUnname = label("generation.unname") // unlink current
	GenerationList   = label("generation.list")   // list DIR/cache
	GenerationStat   = label("generation.stat")   // is gen-N there?

	// The live link, the fence, and other marks.

	LiveOpen   = label("live.open")   // open the folder of the link
	LiveMake   = label("live.make")   // make a link beside it
	LiveName   = label("live.name")   // rename it into place
	LiveRemove = label("live.remove") // unlink live
	LiveProbe  = label("live.probe")  // try whether a link can be made
	MarkRead   = label("mark.read")   // read a small file of ours: format, boot, fenced
	MarkStat   = label("mark.stat")   // is it there?
	MarkWrite  = label("mark.write")  // replace it, durably
	MarkUnlink = label("mark.unlink") // remove it
	MarkRename = label("mark.rename") // rename it
	FolderSync = label("folder.sync") // fsync a folder

	// Opening and closing.

	CacheMake      = label("cache.make")      // make DIR/cache
	CacheOpen      = label("cache.open")      // open DIR/cache and its trash
	OpeningLock    = label("opening.lock")    // the lock of openings and closings
	LockMake       = label("lock.make")       // make the lock files
	SharedLock     = label("shared.lock")     // the lock held while open: alone, then shared
	SharedUnlock   = label("shared.unlock")   // give it back
	ServingLock    = label("serving.lock")    // the lock of those who may serve
	Probe          = label("probe")           // a call of the probe of a new folder
	BootRead       = label("boot.read")       // the kernel's boot id
	SpaceRead      = label("space.read")      // free bytes and inodes
	SyncFS         = label("syncfs")          // make the file system durable
	WithheldMake   = label("withheld.make")   // make the folder of what is withheld
	WithheldRemove = label("withheld.remove") // remove it

	// Upkeep.

	UpkeepLock   = label("upkeep.lock")   // one process at a time
	TrashRead    = label("trash.read")    // list the trash
	TrashRemove  = label("trash.remove")  // remove what was dropped
	EvictStat    = label("evict.stat")    // is a fill under way?
	SweepRead    = label("sweep.read")    // list a folder of pages/
	SweepStat    = label("sweep.stat")    // what an entry is
	SweepRemove  = label("sweep.remove")  // remove an empty folder
	RowClaim     = label("row.claim")     // is there a claim of this row's page?
	JournalWrite = label("journal.write") // append to a log
	CheckRead    = label("check.read")    // what check looks at
	CheckRepair  = label("check.repair")  // rename to the trash
)
