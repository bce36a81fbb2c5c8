#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# agreement.sh PROGRAM FIRST.so SECOND.so DIRECTORY [SEEDS]: the same random mutations against two
# stores: each must be answered alike, and what is there in the end must be the same.
set -u
program=$1 first=$2 second=$3 directory=$4 seeds=${5:-20}
mkdir -p "$directory"
bad=0
for seed in $(seq 1 "$seeds"); do
	rm -rf "$directory/first" "$directory/second"
	# Even seeds let mailboxes grow.
	steps=$((seed % 2 ? 300 : 1200))
	"$program" --random "$seed" $steps "$first" "$directory/first" >"$directory/first.txt" || bad=1
	"$program" --random "$seed" $steps "$second" "$directory/second" >"$directory/second.txt" || bad=1
	if ! diff "$directory/first.txt" "$directory/second.txt" >"$directory/difference"; then
		echo "seed $seed: they differ"
		head -n 20 "$directory/difference"
		bad=1
		break
	fi
done
echo "$seeds seeds, $(grep -c '^step' "$directory/first.txt") steps each"
exit $bad
