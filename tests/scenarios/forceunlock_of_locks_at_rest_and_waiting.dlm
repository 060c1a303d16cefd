# With nothing under way between nodes, FORCEUNLOCK is an unlock.
shows unlock-during-an-operation
open a b
a lock A "r" PR
a gets A granted
b lock B "r" PR
b gets B granted
b lock C "r" EX
a gets A blocking EX
b gets B blocking EX
b unlock C forceunlock
b gets C unlocked
a convert A EX
a unlock A forceunlock
a gets A unlocked
b unlock B forceunlock
b gets B unlocked
b unlock B forceunlock -> ENOENT
