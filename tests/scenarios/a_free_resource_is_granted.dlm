# A new lock on a free resource; the words come back whole.
shows free-resource-is-granted
open a
a lock A "r" EX
a gets A granted
a lock B "s" EX addr=0xfedcba9876543210 param=0xffffffffffffffff lksb=0x8000000000000001
a gets B granted addr=0xfedcba9876543210 param=0xffffffffffffffff lksb=0x8000000000000001
queues "r" granted A:EX lvb=none
a gets nothing
