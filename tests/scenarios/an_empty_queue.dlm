# A device can be read exactly while a result is queued.
shows poll-and-an-empty-queue read-of-an-empty-queue
open a
a unreadable
a gets nothing
a lock A "r" EX
a lock B "s" EX
a readable
a gets A granted
a readable
a gets B granted
a unreadable
a gets nothing
a unlock A
a readable
a gets A unlocked
a unreadable
