#!/bin/sh
# Debian's mdadm on the C library that LD_LIBRARY_PATH names, which it loads by name and never links:
# a clustered RAID 1 that is made, stopped, assembled, and loses a disk. Run on a node of a cluster by
# tests/cluster/clients.rs; prints what went wrong.
set -eu
PATH=$CLIENTS/sbin:$PATH
CLUSTER=dlm

fail() {
	echo "mdadm.sh: $*"
	cat /proc/mdstat
	exit 1
}

mdstat_has() {
	grep -q "$1" /proc/mdstat
}

await() {
	tries=0
	until "$@"; do
		tries=$((tries + 1))
		[ $tries -lt 300 ] || fail "in vain: $*"
		sleep 0.1
	done
}

mkdir -p /run/mdadm
for disk in 0 1; do
	truncate -s 40M /tmp/disk$disk
	losetup /dev/loop$disk /tmp/disk$disk
done
LD_DEBUG=files LD_DEBUG_OUTPUT=/tmp/loaded mdadm --create /dev/md0 --run --bitmap=clustered --nodes=2 \
	--home-cluster=$CLUSTER --level=1 --raid-devices=2 --assume-clean /dev/loop0 /dev/loop1
cat /tmp/loaded.* | grep -q "calling init: $LIBRARY/libdlm_lt.so.3" || fail "another library"
mdstat_has 'md0 : active' || fail "not active"
mdadm --detail /dev/md0 | grep -q 'Clustered' || fail "no clustered bitmap"
ls /sys/kernel/debug/dlm | grep -q _locks || fail "no lockspace of the array"
mdadm --stop /dev/md0
mdadm --assemble /dev/md0 /dev/loop0 /dev/loop1
mdadm /dev/md0 --fail /dev/loop1
await mdadm /dev/md0 --remove /dev/loop1
mdadm /dev/md0 --add /dev/loop1
await mdstat_has '\[UU\]'
mdadm --stop /dev/md0
! ls /sys/kernel/debug/dlm | grep -q _locks || fail "a lockspace is left"
echo "mdadm: all as it should be"
