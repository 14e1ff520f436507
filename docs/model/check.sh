#!/usr/bin/env bash
# Searches every world of the model, and every control, and prints a table. Exits 1 if any verdict is not the expected
# one, or if a search that should be complete was not.
#
#   check.sh [--short]      --short: the controls and the smaller worlds
#   check.sh --trail NAME   the shortest schedule that breaks the promise in that row's world, step by step
#
# Environment: JOBS searches at a time (default: one per core), KEEP=1 keeps what was built.
# Needs spin and a C compiler: apt-get install spin gcc.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

# The rows: when (short, or full: not in --short) | name | model | expected | flags.
# Expected: holds, or the promise that must be found broken. A goal is a state that must be reachable: without those, a
# world in which nothing ever happens would hold as well.
rows() {
	cat <<'ROWS'
short | fills, key                  | protocol | holds        | -DFILLS=2 -DKEYS=1 -DFORMS
short | fills, tag                  | protocol | holds        | -DFILLS=2 -DTAGS=1 -DUNTAGGED
short | fills, prefix               | protocol | holds        | -DFILLS=2 -DPREFIXES=1
short | fills, all                  | protocol | holds        | -DFILLS=2 -DALLS=1
short | fills, rm                   | protocol | holds        | -DFILLS=2 -DRMS=1
short | fill, key, soft key         | protocol | holds        | -DFILLS=1 -DKEYS=1 -DSOFTKEYS=1
short | fills, twin, rm             | protocol | holds        | -DFILLS=2 -DTWINS=1 -DRMS=1
short | fill, twin, tag             | protocol | holds        | -DFILLS=1 -DTWINS=1 -DTAGS=1
short | fill, prefix, reader        | protocol | holds        | -DFILLS=1 -DPREFIXES=1 -DREADERS=1
short | fill, key, fence            | protocol | holds        | -DFILLS=1 -DKEYS=1 -DFENCES=1
short | fill, tag, busy inventory   | protocol | holds        | -DFILLS=1 -DTAGS=1 -DBUSY -DGENERATIONS=2
short | fill, unknown commit        | protocol | holds        | -DFILLS=1 -DUNKNOWNS=1 -DREPLAYS=1
short | fills, key, a crash         | protocol | holds        | -DFILLS=2 -DKEYS=1 -DCRASHES=1
short | restart                     | protocol | holds        | -DFILLS=2 -DLATE_FILLS=1 -DKEYS=1 -DTAGS=1 -DRESTARTS=1
short | restart, opener dies        | protocol | holds        | -DFILLS=1 -DKEYS=1 -DTAGS=1 -DRESTARTS=2
short | restart without outbox      | protocol | holds        | -DFILLS=1 -DTAGS=1 -DRESTARTS=1 -DNO_OUTBOX
short | positions, one commit       | position | holds        | -DFILLS=1 -DCOMMITS=1
full  | fills, two keys             | protocol | holds        | -DFILLS=2 -DKEYS=2 -DFORMS
full  | fills, key, tag             | protocol | holds        | -DFILLS=2 -DKEYS=1 -DTAGS=1 -DUNTAGGED
full  | fills, two tags             | protocol | holds        | -DPUBLISHED=1 -DFILLS=2 -DTAGS=2 -DUNTAGGED
full  | fills, prefix, tag          | protocol | holds        | -DPUBLISHED=1 -DFILLS=2 -DPREFIXES=1 -DTAGS=1
full  | fills, all, key             | protocol | holds        | -DPUBLISHED=1 -DFILLS=2 -DALLS=1 -DKEYS=1
full  | fills, prefix, rm           | protocol | holds        | -DFILLS=2 -DPREFIXES=1 -DRMS=1
full  | three fills, key            | protocol | holds        | -DFILLS=3 -DKEYS=1
full  | fills, key, soft key        | protocol | holds        | -DPUBLISHED=1 -DFILLS=2 -DKEYS=1 -DSOFTKEYS=1
full  | fills, tag, soft tag        | protocol | holds        | -DPUBLISHED=1 -DFILLS=2 -DTAGS=1 -DSOFTTAGS=1
full  | twin, key, soft key         | protocol | holds        | -DPUBLISHED=1 -DFILLS=1 -DTWINS=1 -DKEYS=1 -DSOFTKEYS=1
full  | fill, twin, tag, reader     | protocol | holds        | -DFILLS=1 -DTWINS=1 -DTAGS=1 -DREADERS=1
full  | fills, twin, key, reader    | protocol | holds        | -DPUBLISHED=1 -DFILLS=2 -DTWINS=1 -DKEYS=1 -DREADERS=1
full  | fills, tag, upkeep          | protocol | holds        | -DFILLS=2 -DTAGS=1 -DKEEPERS=1
full  | upkeep, twin, rm, a crash   | protocol | holds        | -DPUBLISHED=1 -DFILLS=2 -DTWINS=1 -DRMS=1 -DKEEPERS=1 -DCRASHES=1
full  | upkeep, twin dies, tag      | protocol | holds        | -DPUBLISHED=1 -DFILLS=2 -DTWINS=1 -DTAGS=1 -DKEEPERS=1 -DCRASHES=1 -DVICTIM=3
full  | fills, tag, a crash         | protocol | holds        | -DFILLS=2 -DTAGS=1 -DCRASHES=1
full  | follower, key, a crash      | protocol | holds        | -DFILLS=1 -DKEYS=1 -DREPLAYS=1 -DCRASHES=1
full  | follower, tag, a crash      | protocol | holds        | -DPUBLISHED=1 -DFILLS=2 -DTAGS=1 -DREPLAYS=1 -DCRASHES=1
full  | follower, all, a crash      | protocol | holds        | -DFILLS=1 -DALLS=1 -DREPLAYS=1 -DCRASHES=1 -DGENERATIONS=3
full  | restart, tags before, after | protocol | holds        | -DFILLS=2 -DLATE_FILLS=1 -DTAGS=2 -DLATE_TAGS=1 -DRESTARTS=2
full  | positions, a replica        | position | holds        | -DFILLS=2 -DNODES=1 -DCOMMITS=3
full  | positions, two fills each   | position | holds        | -DFILLS=2 -DCOMMITS=1
short | read before claim           | protocol | stale_page   | -DFILLS=1 -DKEYS=1 -DCTRL_READ_BEFORE_CLAIM
short | unlink before commit        | protocol | stale_page   | -DFILLS=1 -DKEYS=1 -DCTRL_UNLINK_BEFORE_COMMIT
short | page before its .tmp        | protocol | stale_page   | -DFILLS=1 -DKEYS=1 -DCTRL_PAGE_BEFORE_CLAIM
short | page before its .tmp, rm    | protocol | stale_page   | -DFILLS=1 -DRMS=1 -DCTRL_PAGE_BEFORE_CLAIM
short | publish by path             | protocol | torn_page    | -DFILLS=2 -DKEYS=1 -DONLY_TORN -DCTRL_PUBLISH_BY_PATH
short | flock, compare, rename      | protocol | torn_page    | -DFILLS=2 -DKEYS=1 -DONLY_TORN -DCTRL_COMPARE_RENAME
short | tags checked after          | protocol | stale_page   | -DFILLS=1 -DTAGS=1 -DCTRL_TAGS_AFTER
short | old twins left              | protocol | wrong_twin   | -DPUBLISHED=1 -DFILLS=2 -DTWINS=1 -DRMS=1 -DCTRL_KEEP_TWINS
short | twin with its own claim     | protocol | wrong_twin   | -DPUBLISHED=1 -DFILLS=2 -DTWINS=1 -DRMS=1 -DCTRL_TWIN_OWN_CLAIM
short | .stale before the page      | protocol | stale_graced | -DFILLS=1 -DKEYS=1 -DSOFTKEYS=1 -DCTRL_STALE_FIRST
short | .stale renamed back         | protocol | stale_page   | -DPUBLISHED=2 -DFILLS=2 -DKEYS=1 -DCTRL_STALE_BACK
short | row per key                 | protocol | stale_page   | -DPUBLISHED=1 -DFILLS=2 -DTAGS=1 -DUNTAGGED -DCTRL_ROW_PER_KEY
short | rows before the unlinks     | protocol | stale_page   | -DPUBLISHED=1 -DFILLS=1 -DTAGS=2 -DCTRL_ROWS_FIRST
short | held folder at a hit        | protocol | stale_read   | -DFILLS=1 -DPREFIXES=1 -DREADERS=1 -DCTRL_HELD_HIT
short | re-opened folder            | protocol | stale_page   | -DFILLS=1 -DPREFIXES=1 -DCTRL_REOPENED_FOLDER
short | fence by renaming           | protocol | stale_page   | -DFILLS=1 -DKEYS=1 -DFENCES=1 -DCTRL_FENCE_BY_RENAME
short | one position, raised first  | position | old_page     | -DFILLS=1 -DCOMMITS=1 -DCTRL_ONE_POSITION_FIRST
short | one position, raised last   | position | old_page     | -DFILLS=1 -DCOMMITS=1 -DCTRL_ONE_POSITION_LAST
short | peer position after page    | position | old_page     | -DFILLS=1 -DCOMMITS=1 -DCTRL_PEER_POSITION_AFTER
short | more: claim left to a tag   | protocol | stale_page   | -DFILLS=1 -DTAGS=1 -DCTRL_ROW_SPARES_CLAIM
short | more: page looked at first  | protocol | stale_page   | -DFILLS=1 -DTAGS=1 -DKEEPERS=1 -DCTRL_PAGE_LOOKED_AT_FIRST
short | more: twin not noted        | protocol | wrong_twin   | -DPUBLISHED=1 -DFILLS=2 -DTWINS=1 -DRMS=1 -DCTRL_TWIN_NOT_NOTED
full  | more: one look before delete| protocol | wrong_twin   | -DPUBLISHED=1 -DFILLS=2 -DTWINS=1 -DRMS=1 -DKEEPERS=1 -DCRASHES=1 -DVICTIM=3 -DCTRL_ONE_LOOK
full  | more: dropped rows unseen   | protocol | wrong_twin   | -DPUBLISHED=1 -DFILLS=2 -DTWINS=1 -DTAGS=1 -DKEEPERS=1 -DCRASHES=1 -DVICTIM=3 -DCTRL_GONE_ROWS_UNSEEN
short | more: live before replay    | protocol | stale_page   | -DFILLS=1 -DKEYS=1 -DRESTARTS=1 -DCTRL_LIVE_BEFORE_REPLAY
short | more: no replay             | protocol | stale_page   | -DFILLS=1 -DKEYS=1 -DRESTARTS=1 -DCTRL_NO_REPLAY
short | more: intents forgotten     | protocol | stale_page   | -DFILLS=1 -DTAGS=1 -DRESTARTS=1 -DNO_OUTBOX -DCTRL_INTENTS_FORGOTTEN
short | more: position stored first | protocol | stale_page   | -DFILLS=1 -DKEYS=1 -DRESTARTS=2 -DCTRL_POSITION_FIRST
short | more: not withheld          | protocol | stale_page   | -DFILLS=1 -DUNKNOWNS=1 -DREPLAYS=1 -DCTRL_NOT_WITHHELD
short | more: released first        | protocol | stale_page   | -DFILLS=1 -DUNKNOWNS=1 -DREPLAYS=1 -DCTRL_RELEASE_FIRST
short | more: required read first   | position | old_page     | -DFILLS=1 -DCOMMITS=1 -DCTRL_REQUIRED_BEFORE_CLAIM
short | more: replica position late   | position | old_page     | -DFILLS=1 -DCOMMITS=1 -DCTRL_REPLICA_POSITION_AFTER
short | more: horizons compared     | position | old_page     | -DFILLS=1 -DNODES=1 -DCTRL_HORIZON
short | goal: page after the key    | protocol | goal_reached | -DFILLS=1 -DKEYS=1 -DGOAL=PAGE_AFTER_KEY
short | goal: page after the tag    | protocol | goal_reached | -DFILLS=1 -DTAGS=1 -DGOAL=PAGE_AFTER_TAG
short | goal: twin of a later page  | protocol | goal_reached | -DPUBLISHED=1 -DFILLS=2 -DTWINS=1 -DRMS=1 -DGOAL=TWIN_OF_A_LATER_PAGE
short | goal: graced page           | protocol | goal_reached | -DFILLS=1 -DSOFTKEYS=1 -DGOAL=GRACED_PAGE
short | goal: page after all        | protocol | goal_reached | -DFILLS=2 -DALLS=1 -DGOAL=PAGE_AFTER_ALL
short | goal: orphan reclaimed      | protocol | goal_reached | -DFILLS=2 -DKEYS=1 -DCRASHES=1 -DGOAL=ORPHAN_RECLAIMED
short | goal: page after a restart  | protocol | goal_reached | -DFILLS=2 -DLATE_FILLS=1 -DKEYS=1 -DRESTARTS=1 -DGOAL=PAGE_AFTER_A_RESTART
short | goal: page after the unknown| protocol | goal_reached | -DFILLS=1 -DUNKNOWNS=1 -DREPLAYS=1 -DGOAL=PAGE_AFTER_THE_UNKNOWN
ROWS
}

depth=2000000   # steps; a search that would go deeper says so, and fails
memory=6000     # MB per search, likewise
seconds=3600    # per search, likewise
least=1000000   # states that the full form must reach, in one world

# build DIR MODEL FLAGS…: pan, in DIR.
build() {
	local dir=$1 model=$2
	shift 2
	mkdir -p "$dir"
	cp "$here"/*.pml "$here"/*.inc "$dir"
	(cd "$dir" && spin -a "$@" "$model.pml" >spin.out 2>&1 &&
		"${CC:-cc}" "$optimise" -w -DSAFETY "$search" -DMEMLIM="$memory" -o pan pan.c >cc.out 2>&1)
}

# one NUMBER: searches the row of that number, and writes its line of the table.
one() {
	local number=$1 when name model expected flags dir verdict out states steps secs mem result=ok
	IFS='|' read -r when name model expected flags < <(rows | sed -n "${number}p")
	name=$(xargs <<<"$name") model=${model// /} expected=${expected// /} when=${when// /}
	read -ra flags <<<"$flags"
	dir=$work/$number
	[[ $when == full ]] && optimise=-O1 || optimise=-O0 # a small search is over sooner than its compiler
	search=-DCOLLAPSE
	verdict=
	if ! build "$dir" "$model" "${flags[@]}"; then
		verdict=unbuilt
		cat "$dir"/*.out >&2
	else
		(cd "$dir" && timeout "$seconds" ./pan -m"$depth" >pan.out 2>&1) || verdict=incomplete
	fi
	out=$dir/pan.out
	touch "$out"
	if [[ -z $verdict ]]; then
		if grep -qE 'max search depth too small|out of memory|reached -DMEMLIM|aborting|interrupted|hash conflict.*lost' "$out"; then
			verdict=incomplete
		elif grep -q 'errors: 0' "$out" && ! grep -q 'Search not completed' "$out"; then
			verdict=holds
		elif grep -q 'assertion violated  *!(' "$out"; then
			verdict=$(sed -n 's/.*assertion violated  *!(*\([a-z_]*\).*/\1/p' "$out" | head -n1)
		elif grep -q 'invalid end state (' "$out"; then
			verdict=deadlock
		elif grep -q 'assertion violated' "$out"; then
			verdict=bound # of the model: folders, generations
		else
			verdict=incomplete
		fi
	fi
	[[ $verdict == "$expected" ]] || result=WRONG
	states=$(awk '/states, stored/ {print $1; exit}' "$out")
	steps=$(sed -n 's/.*depth reached \([0-9]*\).*/\1/p' "$out" | head -n1)
	secs=$(sed -n 's/.*elapsed time \([0-9.]*\).*/\1/p' "$out" | head -n1)
	mem=$(awk '/total actual memory usage/ {print $1; exit}' "$out")
	printf '%-28s %-9s %12s %7s %-13s %8s %9s %s\n' "$name" "$model" "${states:-?}" "${steps:-?}" "$verdict" "${secs:-?}" "${mem:-?}" "$result" >"$dir/line"
	cat "$dir/line"
}

work=$(mktemp -d)
[[ -n ${KEEP:-} ]] && echo "built in $work" || trap 'rm -rf "$work"' EXIT

for tool in spin "${CC:-cc}"; do
	command -v "$tool" >/dev/null || { echo "check.sh: $tool is missing: apt-get install spin gcc" >&2; exit 1; }
done

short=
case ${1-} in
'') ;;
--short) short=1 ;;
--trail)
	row=$(rows | awk -F'|' -v name="${2-}" '{n = $2; gsub(/^ +| +$/, "", n)} n == name')
	[[ -n $row ]] || { echo "check.sh: no row is named ${2-}" >&2; rows | awk -F'|' '{print "  " $2}' >&2; exit 1; }
	IFS='|' read -r _ _ model _ flags <<<"$row"
	read -ra flags <<<"$flags"
	optimise=-O2 search=-DBFS # by breadth: the first schedule found is a shortest one
	build "$work/trail" "${model// /}" "${flags[@]}" || { cat "$work"/trail/*.out >&2; exit 1; }
	cd "$work/trail"
	./pan -m"$depth" >pan.out
	[[ -e ${model// /}.pml.trail ]] || { echo "nothing is broken in this world"; exit 0; }
	spin -t -p "${flags[@]}" "${model// /}.pml" | grep -E '^ *[0-9]+:|^spin:' | grep -vE ':init:|\[(IF|DO|else|\.\(goto\)|sub-sequence)\]'
	exit 0
	;;
*)
	sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"
	exit 2
	;;
esac

export here work depth memory seconds CC
export -f one build rows
numbers=$(rows | awk -F'|' -v short="$short" '!short || $1 ~ /short/ {print NR}')
start=$SECONDS
printf '%-28s %-9s %12s %7s %-13s %8s %9s\n' world model states depth verdict seconds MB
xargs -P "${JOBS:-$(nproc)}" -I{} bash -euo pipefail -c 'one {}' <<<"$numbers"

wrong=0 total=0 largest=0 worlds=0 controls=0 count=0
for n in $numbers; do
	count=$((count + 1))
	line=$(cat "$work/$n/line" 2>/dev/null) || line="row $n gave no line: WRONG"
	[[ $line == *WRONG ]] && { wrong=$((wrong + 1)); echo "not as expected: $line" >&2; }
	states=$(awk '{for (i = NF; i; i--) if ($i == "holds") print $(i - 2)}' <<<"$line")
	if [[ -n $states ]]; then
		worlds=$((worlds + 1)) total=$((total + states))
		((states > largest)) && largest=$states
	else
		controls=$((controls + 1))
	fi
done
printf '%d worlds, %d states in all, %d in the largest; %d controls and goals; %d not as expected; %d s\n' \
	"$worlds" "$total" "$largest" "$controls" "$wrong" $((SECONDS - start))
if [[ -z $short ]] && ((largest < least)); then
	echo "the largest world has fewer than $least states" >&2
	wrong=1
fi
((wrong == 0))
