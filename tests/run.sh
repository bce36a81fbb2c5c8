#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds and runs the tests; installs what they need. Ends with a line "N passed, N failed, N skipped".
#
#   tests/run.sh              what every change must pass, under 15 minutes
#   tests/run.sh NAME …       only these parts
#   tests/run.sh --long       the full figures of every part: hours
#   tests/run.sh --long NAME  the full figures of one part, at most an hour each (fuzz: three)
#   tests/run.sh --list       the parts
#
# Each part prints lines "ok NAME", "not ok NAME" and "skipped: REASON"; what it said is in
# build/tests/PART.log.
set -u

here=$(cd "$(dirname "$0")/.." && pwd)
cd "$here" || exit 1
plain=$here/build/gcc
sanitized=$here/build/asan
fuzzing=$here/build/fuzz
logs=$here/build/tests
long=no
parts=()

# Every part runs in one of two lanes, side by side. Those of the second kill, or count who was killed on
# this machine and why: they come one after the other.
first_lane=(style units-gcc units-asan fuzz-replay steps interface reports conversation conversation-asan authentication attacks large
	clients modules queue relay checks commands policy peers)
second_lane=(conformance conformance-asan model model-asan process kill powercut diskfull faults)
all_parts=("${first_lane[@]}" "${second_lane[@]}")
long_parts=(fuzz)

while [ $# -gt 0 ]; do
	case $1 in
	--long) long=yes ;;
	--list) printf '%s\n' "${all_parts[@]}" "${long_parts[@]}"; exit 0 ;;
	-*) echo "run.sh: unknown option $1" >&2; exit 2 ;;
	*) parts+=("$1") ;;
	esac
	shift
done
if [ ${#parts[@]} = 0 ]; then
	parts=("${all_parts[@]}")
	[ $long = yes ] && parts+=("${long_parts[@]}")
fi
for part in "${parts[@]}"; do
	case " ${all_parts[*]} ${long_parts[*]} " in
	*" $part "*) ;;
	*) echo "run.sh: there is no part \"$part\"; --list names them" >&2; exit 2 ;;
	esac
done

"$here/contrib/packages.sh" test || exit 1
mkdir -p "$logs"
rm -rf "$logs"/*.log "$logs"/*.said "$logs"/*.begun

# How often a thing is done: in a run for a change, and in a long one.
figure() {
	if [ $long = yes ]; then echo "$2"; else echo "$1"; fi
}

build() { # DIRECTORY COMPILER EXTRA…
	local directory=$1 compiler=$2
	shift 2
	cmake -S "$here" -B "$directory" -G Ninja -DCMAKE_C_COMPILER="$compiler" \
		-DCMAKE_C_COMPILER_LAUNCHER=ccache "$@" >"$directory.log" 2>&1 &&
		ninja -C "$directory" >>"$directory.log" 2>&1
	local status=$?
	if [ $status != 0 ] || grep -q 'warning:' "$directory.log"; then
		grep -E -A6 'warning:|error:|FAILED|CMake Error' "$directory.log" | head -n 60
		echo "not ok build with $compiler in $directory"
		return 1
	fi
	echo "ok build with $compiler, without a warning"
}

# A Check program tells of each of its tests in TAP; a crash is the failure of the program.
units() { # DIRECTORY
	local program tap status=0
	for program in "$1"/tests/unit_*; do
		[ -x "$program" ] || continue
		tap=$logs/$(basename "$program").$$.tap
		CK_TAP_LOG_FILE_NAME=$tap CK_VERBOSITY=silent "$program" ||
			{ echo "not ok $(basename "$program") as a whole"; status=1; }
		[ -f "$tap" ] && sed -nE 's/^(not ok|ok) [0-9]+ - /\1 /p' "$tap" | sed 's/: Passed$//'
		rm -f "$tap"
	done
	return $status
}

# What was found once, and the conversations: seeds of them are made anew each time.
fuzz_replay() { # DIRECTORY
	local program name seeds status=0
	for program in "$1"/tests/fuzz_*; do
		[ -x "$program" ] || continue
		name=$(basename "$program")
		seeds=$(mktemp -d "${TMPDIR:-/tmp}/postern-seeds.XXXXXX")
		if python3 "$here/tests/fuzz/seeds.py" "$name" "$seeds" &&
			"$program" "$here/tests/fuzz/corpus/$name" "$seeds" >/dev/null 2>"$logs/$name.err"; then
			echo "ok $name on its corpus"
		else
			tail -n 30 "$logs/$name.err"
			echo "not ok $name on its corpus"
			status=1
		fi
		rm -rf "$seeds"
	done
	return $status
}

fuzz_one() { # PROGRAM SECONDS
	local name words=()
	name=$(basename "$1")
	case $name in
	fuzz_imap_*) words=(-dict="$here/tests/fuzz/imap.dict") ;;
	fuzz_smtp_* | fuzz_deliver_* | fuzz_reply | fuzz_path) words=(-dict="$here/tests/fuzz/smtp.dict") ;;
	esac
	python3 "$here/tests/fuzz/seeds.py" "$name" "$fuzzing/corpus/$name" || return 1
	# What is put aside (crash-…) lies in build/fuzz.
	if (cd "$fuzzing" && ASAN_OPTIONS=$ASAN_OPTIONS:quarantine_size_mb=64 "$1" \
		-max_total_time="$2" -timeout=10 -rss_limit_mb=2048 "${words[@]}" \
		"corpus/$name" "$here/tests/fuzz/corpus/$name") >"$logs/$name.err" 2>&1; then
		echo "ok $name for $2 seconds, $(sed -n 's/^Done \([0-9]*\) runs.*/\1/p' "$logs/$name.err") inputs"
	else
		printf '%s\nnot ok %s\n' "$(tail -n 30 "$logs/$name.err")" "$name"
		return 1
	fi
}

# Two at a time; POSTERN_FUZZ_SECONDS is for each target.
fuzz() {
	local program status=0 running=0 seconds=${POSTERN_FUZZ_SECONDS:-600}
	for program in "$fuzzing"/tests/fuzz_*; do
		[ -x "$program" ] || continue
		if [ $running = 2 ]; then
			wait -n || status=1
			running=1
		fi
		fuzz_one "$program" "$seconds" &
		running=$((running + 1))
	done
	while [ $running -gt 0 ]; do
		wait -n || status=1
		running=$((running - 1))
	done
	return $status
}

conformance() { # DIRECTORY
	local directory status=0
	for store in store_memory store_local; do
		directory=$(mktemp -d "${TMPDIR:-/tmp}/postern-conformance.XXXXXX")
		"$1/tests/conformance/store_conformance" "$1/modules/$store.so" "$directory" || status=1
		rm -rf "$directory"
	done
	return $status
}

# Without and with workers that are killed; in a long run the planted faults too.
model() {
	local status=0
	python3 tests/model/run.py --build "$plain" --commands "$(figure 60000 1000000)" || status=1
	python3 tests/model/run.py --build "$plain" --commands "$(figure 40000 1000000)" \
		--kills "$(figure 8 60)" || status=1
	[ $long = no ] || python3 tests/model/mutants.py || status=1
	return $status
}

run_part() {
	case $1 in
	style) python3 tests/style.py --build "$plain" ;;
	units-gcc) POSTERN_TEST_LONG=$(figure "" yes) CK_TIMEOUT_MULTIPLIER=$(figure 1 20) units "$plain" ;;
	units-asan) CK_FORK=no units "$sanitized" ;;
	fuzz-replay) fuzz_replay "$sanitized" ;;
	fuzz) fuzz ;;
	steps) "$plain/tests/steps/steps" ;;
	interface) python3 tests/interface/run.py "$plain" ;;
	reports) python3 tests/reports/run.py "$plain" ;;
	conformance) conformance "$plain" ;;
	conformance-asan) conformance "$sanitized" ;;
	conversation) python3 tests/conversation/run.py --build "$plain" ;;
	conversation-asan) python3 tests/conversation/run.py --build "$sanitized" ;;
	authentication) python3 tests/authentication/run.py --build "$sanitized" ;;
	attacks) python3 tests/attacks/run.py --build "$sanitized" $([ $long = yes ] && echo --long) ;;
	model) model ;;
	model-asan) python3 tests/model/run.py --build "$sanitized" --commands "$(figure 30000 200000)" ;;
	large) python3 tests/large/run.py --build "$plain" --messages "$(figure 60000 1000000)" \
		--mailboxes "$(figure 2000 10000)" --megabytes "$(figure 60 500)" ;;
	clients) python3 tests/clients/run.py --build "$plain" ;;
	modules) python3 tests/modules/run.py --build "$sanitized" &&
		python3 tests/modules/deposits.py --build "$sanitized" &&
		python3 tests/modules/deposits.py --build "$sanitized" --store store_memory ;;
	queue) python3 tests/queue/run.py --build "$sanitized" ;;
	relay) python3 tests/relay/run.py --build "$plain" ;;
	process) python3 tests/process/run.py --build "$plain" ;;
	policy) python3 tests/policy/run.py --build "$plain" && python3 tests/policy/run.py --build "$sanitized" ;;
	checks) python3 tests/checks/run.py --build "$plain" ;;
	commands) python3 tests/commands/run.py --build "$plain" ;;
	peers) python3 tests/relay/peers.py --build "$plain" ;;
	kill) python3 tests/crash/kill.py --build "$plain" --kills "$(figure 10 200)" ;;
	powercut) python3 tests/crash/powercut.py --build "$plain" --cuts "$(figure 10 200)" ;;
	diskfull) python3 tests/crash/diskfull.py --build "$plain" --cycles "$(figure 4 20)" ;;
	faults) python3 tests/crash/faults.py --build "$plain" $([ $long = yes ] && echo --long) ;;
	esac
}

# ASan's own findings end the process; UBSan's must too, or nobody reads them.
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=1:disable_coredump=1
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1

started=$SECONDS
needs() { # whether one of the wanted parts runs on that build
	local part
	for part in "${parts[@]}"; do
		case $part:$1 in
		*-asan:asan | fuzz-replay:asan | modules:asan | authentication:asan | attacks:asan | queue:asan | policy:asan | fuzz:fuzz) return 0 ;;
		*-asan:gcc | fuzz-replay:gcc | modules:gcc | authentication:gcc | attacks:gcc | queue:gcc | fuzz:gcc) ;;
		*:gcc) return 0 ;;
		esac
	done
	return 1
}

(
	needs gcc && { build "$plain" gcc -DCMAKE_BUILD_TYPE=RelWithDebInfo || exit 1; }
	needs asan && { build "$sanitized" clang -DCMAKE_BUILD_TYPE=Debug \
		-DPOSTERN_SANITIZE=address,undefined || exit 1; }
	needs fuzz && { build "$fuzzing" clang -DCMAKE_BUILD_TYPE=RelWithDebInfo -DPOSTERN_FUZZ=ON \
		-DPOSTERN_SANITIZE=address,undefined || exit 1; }
	true
) >"$logs/build.log"
built=$?
cat "$logs/build.log"
if [ $built != 0 ]; then
	echo "0 passed, 1 failed"
	exit 1
fi
echo "# built after $((SECONDS - started)) seconds"

# What is not about disks is done in memory, where there is room: a test that waits for flushes tests nothing by that.
on_disk=" conformance kill powercut diskfull faults "
memory=${TMPDIR:-/tmp}
if [ -z "${TMPDIR:-}" ] && [ -w /dev/shm ] && [ "$(df --output=avail -k /dev/shm | tail -n 1)" -gt 6000000 ]; then
	trial=$(mktemp /dev/shm/postern-test-XXXXXX)
	cp /bin/true "$trial" && chmod 700 "$trial" && "$trial" 2>/dev/null && memory=/dev/shm
	rm -f "$trial"
fi

# One part, and what there is to say of it, at once.
do_part() {
	local part=$1 began=$SECONDS status directory=$memory
	case "$on_disk" in *" $part "*) directory=${TMPDIR:-/tmp} ;; esac
	TMPDIR=$directory run_part "$part" >"$logs/$part.log" 2>&1 </dev/null
	status=$?
	# A part that failed without saying which test did has failed as a whole.
	if [ $status != 0 ] && ! grep -q '^not ok' "$logs/$part.log"; then
		echo "not ok $part: ended with status $status" >>"$logs/$part.log"
	fi
	if ! grep -qE '^(ok|not ok|skipped:)' "$logs/$part.log"; then
		echo "not ok $part: said nothing" >>"$logs/$part.log"
	fi
	{
		grep -E '^skipped:' "$logs/$part.log"
		if grep -q '^not ok' "$logs/$part.log"; then
			grep -h -A 20 '^not ok' "$logs/$part.log" | cut -c 1-600 | head -n 200
		fi
		echo "# $part: $(grep -c '^ok' "$logs/$part.log") ok, $((SECONDS - began)) seconds"
	} >"$logs/$part.said"
	cat "$logs/$part.said"
}

# These parts, as far as they are wanted and nobody has begun them.
do_lane() {
	local part
	for part in "$@"; do
		case " ${parts[*]} " in
		*" $part "*) mkdir "$logs/$part.begun" 2>/dev/null && do_part "$part" ;;
		esac
	done
}

# A long run measures: nothing beside it. In another the second lane helps the first, from its end.
if [ $long = yes ]; then
	do_lane "${all_parts[@]}" "${long_parts[@]}"
else
	export POSTERN_TEST_SLOWNESS=${POSTERN_TEST_SLOWNESS:-4} # two at a time, on whatever machine this is
	do_lane "${first_lane[@]}" "${long_parts[@]}" &
	do_lane "${second_lane[@]}"
	mapfile -t helped < <(printf '%s\n' "${first_lane[@]}" | tac)
	do_lane "${helped[@]}"
	wait
fi

passed=$(cat "$logs"/*.log | grep -c '^ok')
failed=$(cat "$logs"/*.log | grep -c '^not ok')
skipped=$(cat "$logs"/*.log | grep -c '^skipped:')
if [ "$failed" != 0 ]; then
	echo "# what failed:"
	grep -h '^not ok' "$logs"/*.log
fi
echo "# $((SECONDS - started)) seconds"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
