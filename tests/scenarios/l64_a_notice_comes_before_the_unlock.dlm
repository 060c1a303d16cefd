# An unread notice is not lost by the unlock.
lines 64
open a b
a lock A "r" EX
a gets A granted
b lock B "r" PR
a unlock A
a gets A blocking PR
a gets A unlocked
b gets B granted
