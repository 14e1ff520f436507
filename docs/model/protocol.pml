/* The file protocol of docs/PROTOCOL.md: one URL, its folder, its inventory, and everybody who may touch them.
 *
 * A world is chosen with -D: how many there are of each actor, and what may happen to them. check.sh has the worlds.
 * A control, -DCTRL_…, breaks the protocol in one way; the search must then find a promise broken.
 */

#ifndef FILLS
#define FILLS 0          /* fills of phase 1 and 2 */
#endif
#ifndef LATE_FILLS
#define LATE_FILLS 0     /* of these, fills that begin after the restart */
#endif
#ifndef PUBLISHED
#define PUBLISHED 0      /* 1: fill 1 is over, its page stands there; 2: and was graced */
#endif
#ifndef TWINS
#define TWINS 0
#endif
#ifndef KEYS
#define KEYS 0
#endif
#ifndef UNKNOWNS
#define UNKNOWNS 0       /* commits of unknown outcome, 0 or 1 */
#endif
#ifndef RMS
#define RMS 0
#endif
#ifndef PREFIXES
#define PREFIXES 0
#endif
#ifndef ALLS
#define ALLS 0
#endif
#ifndef TAGS
#define TAGS 0
#endif
#ifndef LATE_TAGS
#define LATE_TAGS 0      /* of the tags, those after the restart */
#endif
#ifndef SOFTKEYS
#define SOFTKEYS 0
#endif
#ifndef SOFTTAGS
#define SOFTTAGS 0
#endif
#ifndef READERS
#define READERS 0
#endif
#ifndef KEEPERS
#define KEEPERS 0
#endif
#ifndef REPLAYS
#define REPLAYS 0        /* followers, 0 or 1 */
#endif
#ifndef CRASHES
#define CRASHES 0
#endif
#ifndef RESTARTS
#define RESTARTS 0       /* openings after the death of all, and of the opener */
#endif
#ifndef FENCES
#define FENCES 0
#endif
#ifndef GENERATIONS
#define GENERATIONS (1 + ALLS)
#endif
#ifndef FOLDERS
#define FOLDERS (GENERATIONS + PREFIXES + FILLS)
#endif

#define NODES (FILLS + TWINS)
#define FIRST_UNKNOWN KEYS
#define FIRST_RM (FIRST_UNKNOWN + UNKNOWNS)
#define FIRST_PREFIX (FIRST_RM + RMS)
#define FIRST_ALL (FIRST_PREFIX + PREFIXES)
#define FIRST_TAG (FIRST_ALL + ALLS)
#define FIRST_SOFTKEY (FIRST_TAG + TAGS)
#define FIRST_SOFTTAG (FIRST_SOFTKEY + SOFTKEYS)
#define DROPS (FIRST_SOFTTAG + SOFTTAGS)
#define ACTORS (NODES + 1 + DROPS)
#define STARTED (NODES + DROPS + REPLAYS - LATE_FILLS - LATE_TAGS - (PUBLISHED > 0))

byte made[DROPS + 1]; /* the version each committed */
bit dead[ACTORS + 1];
byte begun = 0;       /* fills */
byte phase = 1;       /* 2: the folder was opened again */
byte ended = 0;       /* actors of phase 1 */
byte unknown = 0;     /* the commit of unknown outcome */
bit dieAgain = 0;     /* the opener is to die */
bit returned = 0;     /* its hook has returned */

#if CRASHES + RESTARTS > 0
#define UNLESS_DEAD(actor) unless { dead[actor] }
#define GONE(actor) dead[actor] = 1;
#else
#define UNLESS_DEAD(actor)
#define GONE(actor)
#endif
#if RESTARTS > 0
#define ENDED(from) if :: from == 1 -> ended++ :: else fi
#else
#define ENDED(from) skip
#endif
#define DROP(b) (NODES + 1 + b)

/* Fills are alike: they begin in the order of their numbers, as all other orders only exchange names. */
#define BEGIN(number, from) d_step { phase >= from && (number == 0 || begun >= number - 1) -> if :: number > begun -> begun = number :: else fi }

#include "folder.inc"
#include "promise.inc"
#include "claim.inc"
#include "fill.inc"
#include "twin.inc"
#include "drop.inc"
#include "upkeep.inc"
#include "reader.inc"
#include "restart.inc"

/* Where worlds may begin: a fill that nobody disturbed. */
inline openFirst() {
	begun = 1; folders = 1; gen[1].top = 1; gen[1].rows = BIT(1);
	node[1].ver = ver; node[1].whole = 1; node[1].tagged = 1; node[1].links = 1;
#if PUBLISHED == 2
	dir[1].stale[0] = 1; gen[1].graced = BIT(1);
#else
	dir[1].page[0] = 1;
#endif
	GONE(1)
}

#define RUN(first, count, actor) \
	n = first; do :: n < (first) + (count) -> run actor; n++ :: else -> break od

init {
	byte n;
	atomic {
		node[0].ver = 255; node[0].whole = 1;
		makeGeneration(KNOWN);
		live = 1;
		run Monitor();
#if PUBLISHED > 0
		openFirst();
#endif
		RUN(1 + (PUBLISHED > 0), FILLS - LATE_FILLS - (PUBLISHED > 0), Fill(n, 1));
		RUN(1 + FILLS - LATE_FILLS, LATE_FILLS, Fill(n, 2));
		RUN(0, KEYS, Key(n, 1));
		RUN(FIRST_RM, RMS, Rm(n));
		RUN(FIRST_PREFIX, PREFIXES, Prefix(n));
		RUN(FIRST_ALL, ALLS, All(n));
		RUN(FIRST_TAG, TAGS - LATE_TAGS, Tag(n, 1));
		RUN(FIRST_TAG + TAGS - LATE_TAGS, LATE_TAGS, Tag(n, 2));
		RUN(FIRST_SOFTKEY, SOFTKEYS, SoftKey(n));
		RUN(FIRST_SOFTTAG, SOFTTAGS, SoftTag(n));
		RUN(1, READERS, Reader());
		RUN(1, KEEPERS, Keeper());
		RUN(1, REPLAYS, Replay());
		RUN(1, FENCES, Fence());
#if TWINS > 0
		RUN(FILLS + 1, TWINS, Twin(n));
#endif
#if UNKNOWNS > 0
		run Unknown(FIRST_UNKNOWN); run Server(FIRST_UNKNOWN);
#endif
#if CRASHES > 0
		run Crasher();
#endif
#if RESTARTS > 0
		run Restart();
#if RESTARTS > 1
		run Again();
#endif
#endif
		n = 0
	}
}
