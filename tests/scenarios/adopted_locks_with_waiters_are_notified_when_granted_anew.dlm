# What an orphan's waiters would have told it is not told to who adopts it.
shows adopter-misses-notices
open a b c
a lock A "r" EX persistent
a gets A granted
close a
b lock B "r" PR
c adopt C "r" EX
c gets nothing
c convert C EX
c gets C granted
c gets C blocking PR
c unlock C
c gets C unlocked
b gets B granted
