#!/bin/sh
# Debian's ocfs2-tools on the C library that LD_LIBRARY_PATH names: a file system for the cluster that
# is made, changed and checked under its locks. Run on a node of a cluster by
# tests/cluster/clients.rs; prints what went wrong.
set -eu
PATH=$CLIENTS/sbin:$PATH

fail() {
	echo "ocfs2.sh: $*"
	dmesg | tail -n 20
	exit 1
}

# Makes the file system anew.
format() {
	mkfs.ocfs2 -x -F -N 2 -J size=4M -b 4K -C 4K --cluster-stack=pcmk --cluster-name=dlm /dev/loop0 \
		> /dev/null 2>&1 || fail "no file system"
}

# How often a lockspace was joined on this node since it is up.
joins() {
	dmesg | grep -c 'joining the lockspace group'
}

ln -sf /proc/mounts /etc/mtab
echo pcmk > /sys/fs/ocfs2/cluster_stack
truncate -s 60M /tmp/disk
losetup /dev/loop0 /tmp/disk
format
before=$(joins) || true
LD_DEBUG=files LD_DEBUG_OUTPUT=/tmp/loaded tunefs.ocfs2 -L changed /dev/loop0
cat /tmp/loaded.* | grep -q "calling init: $LIBRARY/libdlm_lt.so.3" || fail "another library"
[ "$(joins)" -gt "$before" ] || fail "the label was changed without a lock"
mounted.ocfs2 -d > /tmp/found
grep -q 'pcmk.*changed' /tmp/found || fail "the label is not there"
tunefs.ocfs2 -N 3 /dev/loop0
[ "$(tunefs.ocfs2 -Q '%N\n' /dev/loop0 | tr -d ' ')" = 3 ] || fail "not three slots"
fsck.ocfs2 -y -f /dev/loop0 > /tmp/checked
grep -q 'All passes succeeded' /tmp/checked || fail "the file system is broken"
! ls /sys/kernel/debug/dlm | grep -q _locks || fail "a lockspace is left"
echo "ocfs2: all as it should be"
