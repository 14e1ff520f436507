/* Positions (the design's promise P5): which source may a fill read from, when replicas lag and peers hand over pages.
 *
 * A position is a set of commits, as bits; A contains B if B lies in A. Each node keeps two: required, raised before an
 * invalidation's first unlink, and applied, raised after its last one. Commits become visible in any order of their
 * numbers, as transaction ids do. Every invalidation names the one page there is.
 *
 * The store has no replicas and no peers yet (cache/position.go keeps one position, that of the outbox): this is the
 * contract for the code to come.
 */

#ifndef COMMITS
#define COMMITS 2
#endif
#ifndef NODES
#define NODES 2
#endif
#ifndef FILLS
#define FILLS 2 /* per node, one after the other */
#endif

#define BIT(n) (1 << (n))

typedef Node {
	byte required;
	byte applied;
	byte done;   /* invalidations that have returned here */
	byte claim;  /* the fill that holds it; 0: none */
	byte page;   /* the commits it contains */
	bit there
};

Node node[NODES];
byte committed;      /* the primary, as new snapshots see it */
byte wal[COMMITS];   /* commits, in the order in which they became visible */
byte logged;         /* entries of wal */
byte replayed;       /* of these, what the replica has replayed */
byte replica;        /* what the replica contains */

#ifdef CTRL_HORIZON
/* Comparing xmin: the lowest commit that is missing. */
#define HORIZON(s) (!((s) & 1) -> 0 : (!((s) & 2) -> 1 : (!((s) & 4) -> 2 : 3)))
#define CONTAINS(a, b) (HORIZON(a) >= HORIZON(b))
#else
#define CONTAINS(a, b) (((b) & ~(a)) == 0)
#endif

bool old_page;

proctype Monitor() {
	byte n;
end:	if
	:: d_step { node[0].there && (node[0].done & ~node[0].page) != 0 -> old_page = 1; assert(!old_page) }
#if NODES > 1
	:: d_step { node[1].there && (node[1].done & ~node[1].page) != 0 -> old_page = 1; assert(!old_page) }
#endif
	fi
}

/* A transaction that becomes visible, at any time. */
proctype Commit(byte c) {
	d_step { committed = committed | BIT(c); wal[logged] = c; logged++ }
}

/* The replica replays the log in its order, at its leisure. */
proctype Replica() {
end:	do
	:: d_step { replayed < logged -> replica = replica | BIT(wal[replayed]); replayed++ }
	od
}

/* A hook, or a follower, on node n. */
proctype Drop(byte n; byte c) {
end:	(committed & BIT(c)) != 0;
#ifdef CTRL_ONE_POSITION_LAST
	d_step { node[n].claim = 0 };
	d_step { node[n].there = 0; node[n].page = 0 };
	d_step { node[n].required = node[n].required | BIT(c); node[n].applied = node[n].required };
#else
	d_step { node[n].required = node[n].required | BIT(c);
#ifdef CTRL_ONE_POSITION_FIRST
		node[n].applied = node[n].required
#endif
	};
	d_step { node[n].claim = 0 };                   /* unlink NAME.tmp */
	d_step { node[n].there = 0; node[n].page = 0 }; /* unlink NAME */
	d_step { node[n].applied = node[n].applied | BIT(c) };
#endif
	d_step { node[n].done = node[n].done | BIT(c) }
}

proctype Fill(byte n) {
	byte need, position, has, me, round = 1;
	do
	:: round > FILLS -> break
	:: round <= FILLS ->
		me = n * FILLS + round;
#ifdef CTRL_REQUIRED_BEFORE_CLAIM
		if :: d_step { need = node[n].required } fi;
#endif
		if
		:: d_step { node[n].claim != 0 -> skip } -> goto next
		:: d_step { node[n].claim == 0 -> node[n].claim = me }
		fi;
#ifndef CTRL_REQUIRED_BEFORE_CLAIM
		d_step { need = node[n].required };
#endif
		if
		:: d_step { has = committed } /* the primary, after the claim */
		:: /* a replica: its position in a statement that ended before the snapshot's transaction began */
#ifdef CTRL_REPLICA_POSITION_AFTER
			d_step { has = replica };
			d_step { position = replica };
#else
			d_step { position = replica };
			d_step { has = replica };
#endif
			if
			:: CONTAINS(position, need) -> skip
			:: else -> goto giveUp
			fi
#if NODES > 1
		:: /* a peer: its applied position, then its page */
#ifdef CTRL_PEER_POSITION_AFTER
			d_step { node[1 - n].there -> has = node[1 - n].page };
			d_step { position = node[1 - n].applied };
#else
			d_step { position = node[1 - n].applied };
			if
			:: d_step { node[1 - n].there -> has = node[1 - n].page }
			:: d_step { !node[1 - n].there -> skip } -> goto giveUp
			fi;
#endif
			if
			:: CONTAINS(position, need) -> skip
			:: else -> goto giveUp
			fi
#endif
		fi;
		/* linkat: only while the claim has its name. A page that is there is replaced. */
		if
		:: d_step { node[n].claim == me -> node[n].page = has; node[n].there = 1 }
		:: d_step { node[n].claim != me -> skip }
		fi;
giveUp:		if
		:: d_step { node[n].claim == me -> node[n].claim = 0 }
		:: d_step { node[n].claim != me -> skip }
		fi;
next:		atomic { round++; need = 0; position = 0; has = 0; me = 0 }
	od
}

init {
	byte n, c;
	atomic {
		run Monitor();
		run Replica();
		c = 0;
		do
		:: c < COMMITS ->
			run Commit(c);
			n = 0;
			do :: n < NODES -> run Drop(n, c); n++ :: else -> break od;
			c++
		:: else -> break
		od;
		n = 0;
		do :: n < NODES -> run Fill(n); n++ :: else -> break od;
		n = 0; c = 0
	}
}
