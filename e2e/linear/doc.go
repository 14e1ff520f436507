// Package linear checks recorded histories of reads and commits against a model of what a cached page may show, with
// porcupine. Nothing here knows how the cache works; e2e/torture's application is used from outside, over HTTP, and by
// reading published files as another server would, while it is killed and started again.
//
// # The model
//
// Which register is a cached page? Not an atomic one. P1 speaks of requests that start after a commit's hook has
// returned. Between COMMIT and that moment the cache may still show the old page while who renders past it, or fills,
// reads the new version from the database: one reader sees the new version, and a later one the old. (Two instances on
// one folder do this; no promise forbids it.) So it is a regular register: a read shows the last version whose commit had
// returned when it started, or one whose commit was under way meanwhile. Lamport's definition is for one writer; here the
// database puts the commits in order, and a version's number is its place.
//
// Porcupine checks objects that act at one instant. A regular register is one if a write is two acts:
//
//	committed  the newest version that the database shows
//	dropped    every page older than this version is gone
//
//	commit v   committed becomes v, if it was v-1                    within the commit's request
//	drop v     dropped becomes v, if it was older                    when the commit's request returns
//	read v     shows v, with dropped ≤ v ≤ committed                 within the read's request
//	look v     the database, asked itself, has committed = v         within the question
//
// Drop comes at the last moment that P1 allows, as it only forbids. This is the strongest model that P1 and P2 promise:
// all reads and all commits must fit one order of instants, so that it also has what a regular register's definition
// leaves open with several writers. What it does not have is what an atomic one would add: that nobody sees an old
// version once somebody has seen the new one. Reads whose histories are atomic, too, are counted for information.
//
// P2: an application was killed. A commit that it didn't answer may have happened, or happen at any later time; the
// database tells in the end which versions there are. What the database has when the application is started again is
// dropped before it serves its first page: look, and drop.
//
// No read may show a version that isn't committed, either: dropped ≤ v ≤ committed bounds it on both sides.
//
// # Controls
//
// Applications built wrong (cache/fault: the hooks invalidate before COMMIT, the claim is taken after the read) must be
// rejected, and so must small histories that break one rule each.
package linear
