# A device can be read exactly while a result is queued.
lines 9 10
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
