# NOQUEUE against EX: an id is returned, and is dead.
shows noqueue-leaves-a-dead-id
open a b
a lock A "r" EX
a gets A granted
b lock B "r" PR noqueue
b gets B again
b unlock B -> ENOENT
b convert B NL -> ENOENT
b cancel B -> ENOENT
b gets nothing
# It is dead before its result is read; 6.1 puts the refused unlock's words into that.
b lock C "r" PR noqueue
b unlock C words=9 -> ENOENT
on 6.1 b gets C again param=0xcb000009 lksb=0x5b000009
on 6.12 b gets C again
# 6.1 still knows it.
b lock D "r" PR noqueue
on 6.1 b convert D NL -> EBUSY
on 6.12 b convert D NL -> ENOENT
b gets D again
a gets nothing
queues "r" granted A:EX
