# Any device converts and unlocks any lock of the node; the owner gets the results, with the words
# of who did it.
shows any-device-may-use-an-id
open a b
a lock A "r" EX
a gets A granted
b convert A PR words=9
a gets A granted words=9
queues "r" granted A:PR
a lock B "r" EX
a gets A blocking EX words=9
b cancel B words=8
a gets B cancelled param=0xcb000008 lksb=0x5b000008
b unlock A
a gets A unlocked addr=0xca000009
b unlock A -> ENOENT
b gets nothing
