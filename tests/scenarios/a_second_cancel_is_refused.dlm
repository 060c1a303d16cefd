# Until the lock is converted anew; with a warning in the kernel's log.
shows cancelled-conversion
warns
open a b
a lock A "r" PR
a gets A granted
b lock B "r" PR
b gets B granted
a convert A EX
b gets B blocking EX
a cancel A
a gets A cancelled
a cancel A -> EINVAL
a gets nothing
a convert A EX
a gets nothing
a cancel A
a gets A cancelled
a unlock A
a gets A unlocked
