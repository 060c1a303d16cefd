#!/bin/sh
# Debian's lvmlockd and lvm on the C library that LD_LIBRARY_PATH names: a shared volume group, locks
# of logical volumes, a daemon that is killed and adopts the locks of its predecessor. Run on a node
# of a cluster by tests/cluster/clients.rs; prints what went wrong.
set -eu
PATH=$CLIENTS/sbin:$CLIENTS/usr/sbin:$PATH
LOG=/tmp/lvmlockd.log

# Ends all. What lvmlockd said helps to see why.
fail() {
	echo "lvmlockd.sh: $*"
	tail -n 40 $LOG
	lvmlockctl -i
	exit 1
}

# Waits until a command succeeds.
await() {
	tries=0
	until "$@"; do
		tries=$((tries + 1))
		[ $tries -lt 300 ] || fail "in vain: $*"
		sleep 0.1
	done
}

is_gone() {
	! kill -0 "$1" 2> /dev/null
}

answers() {
	lvmlockctl -i > /dev/null 2>&1
}

start_daemon() {
	lvmlockd -f -g dlm -A 1 -D >> $LOG 2>&1 &
	daemon=$!
	await answers
	grep -q "$LIBRARY" /proc/$daemon/maps || fail "lvmlockd has another library"
}

# Whether the kernel has a lock in this mode on a resource that is not lvm's own.
kernel_has() {
	grep -v '"VGLK"\|"GLLK"' /sys/kernel/debug/dlm/lvm_vg_locks | awk -v mode="$1" \
		'$9 == mode { found = 1 } END { exit !found }'
}

mkdir -p /etc/lvm /run/lvm /run/lock/lvm
cat > /etc/lvm/lvm.conf << 'END'
global { use_lvmlockd=1 }
activation { udev_sync=0 udev_rules=0 verify_udev_operations=0 }
devices { use_devicesfile=0 scan="/dev" obtain_device_list_from_udev=0 external_device_info_source="none" filter=[ "a|/dev/loop.*|", "r|.*|" ] }
backup { backup=0 archive=0 }
END
truncate -s 64M /tmp/disk
losetup /dev/loop0 /tmp/disk
start_daemon
lvm pvcreate -q /dev/loop0
lvm vgcreate -q --shared vg /dev/loop0
lvm vgchange --lockstart vg
lvm lvcreate -q -aey -L 8M -n one vg -Zn -Wn
lvm lvcreate -q -an -L 8M -n two vg -Zn -Wn
kernel_has 5 || fail "no EX for a volume that is active exclusively"
lvmlockctl -i | grep -q 'LK LV ex' || fail "lvmlockd knows of no EX"
# The locks with their meaning, and whose they are.
LD_LIBRARY_PATH='' /bin/dlm locks lvm_vg > /tmp/locks || fail "no dlm locks"
id=$(lvm lvs --noheadings -o uuid vg/one | tr -d ' ')
grep -q "^lvm_vg/$id (LVM: logical volume $id of volume group vg)" /tmp/locks || fail "$(cat /tmp/locks)"
grep -q "^lvm_vg/VGLK (LVM: metadata of volume group vg)" /tmp/locks || fail "$(cat /tmp/locks)"
grep -q "granted     EX .*lvmlockd\[" /tmp/locks || fail "$(cat /tmp/locks)"
lvm lvchange -asy vg/two
kernel_has 3 || fail "no PR for a volume that is active and shared"
if lvm lvrename vg two three; then
	fail "a volume whose lock is held shared was renamed"
fi
lvm lvchange -an vg/two
lvm lvrename -q vg two three
lvm lvextend -q -L +4M vg/three
lvm lvchange -an vg
! kernel_has 5 || fail "still EX though nothing is active"
lvm lvchange -aey vg/one

# A daemon that is killed leaves its locks behind; the next one adopts them.
kill -9 $daemon
await is_gone $daemon
kernel_has 5 || fail "the lock of an active volume ended with the daemon"
start_daemon
await grep -q 'adopt_locks done' $LOG
grep -q 'adopt success lv' $LOG || fail "no lock was adopted"
lvmlockctl -i | grep -q 'LK LV ex' || fail "lvmlockd does not know what it adopted"
lvm lvchange -an vg/one
! kernel_has 5 || fail "the adopted lock is still held"
lvm lvremove -q -f vg/one vg/three
lvm vgchange --lockstop vg
lvm vgchange --lockstart vg
lvm vgremove -q vg
# The lock of lvmlockd itself keeps the lockspace of all groups until it is told to stop.
lvmlockctl --stop-lockspaces || true
lvmlockctl -q || true
await is_gone $daemon
echo "lvmlockd: all as it should be"
