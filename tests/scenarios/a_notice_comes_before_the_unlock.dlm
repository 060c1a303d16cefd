# An unread notice is not lost by the unlock.
shows notice-before-the-unlock
open a b
a lock A "r" EX
a gets A granted
b lock B "r" PR
a unlock A
a gets A blocking PR
a gets A unlocked
b gets B granted
