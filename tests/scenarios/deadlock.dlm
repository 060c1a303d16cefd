# As a cancel, but with the status of a deadlock; of a granted lock it makes nothing.
shows deadlock-command
open a b
a lock A "r" PR
a gets A granted
a deadlock A
a gets nothing
b lock B "r" EX
a gets A blocking EX
b deadlock B
b gets B deadlock
b unlock B -> ENOENT
b deadlock B -> ENOENT
b lock C "r" PR
b gets C granted
b convert C EX
b deadlock C
b gets C deadlock
queues "r" granted C:PR A:PR
a deadlock A flags=0x1 -> EINVAL
a deadlock A flags=0x4 -> EINVAL
a deadlock A flags=0x20002 -> EINVAL
a gets nothing
a unlock A
a gets A unlocked
b gets nothing
queues "r" granted C:PR
