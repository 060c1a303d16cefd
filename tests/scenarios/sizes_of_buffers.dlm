# Below 104 bytes a value block is lost in silence; below 52 nothing is read.
shows short-buffers
open a
a lock A "a" NL valblk
a gets A granted size=72
a lock B "b" NL valblk
a gets B granted size=103
a lock F "f" NL valblk
a gets F granted size=73
a lock C "c" NL valblk
a gets C granted lvb=00 size=104
a lock D "d" NL valblk
a gets D granted lvb=00 size=256
a lock E "e" NL
a reads size=0 -> EINVAL
a reads size=1 -> EINVAL
a reads size=11 -> EINVAL
a reads size=13 -> EINVAL
a reads size=51 -> EINVAL
a gets E granted
# The size is looked at before the queue.
a reads size=51 -> EINVAL
a gets nothing
# One read returns one result, however much room there is.
a lock G "g" NL valblk
a lock H "h" NL valblk
a gets G granted lvb=00 size=1024
a gets H granted lvb=00 size=1024
a gets nothing
