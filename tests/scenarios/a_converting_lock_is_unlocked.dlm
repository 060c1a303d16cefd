# One completion, the unlock's.
shows converting-lock-is-unlocked
open a b
a lock A "r" PR
a gets A granted
b lock B "r" PR
b gets B granted
a convert A EX
b gets B blocking EX
a unlock A
a gets A unlocked
queues "r" granted B:PR
b unlock B
b gets B unlocked
a gets nothing
