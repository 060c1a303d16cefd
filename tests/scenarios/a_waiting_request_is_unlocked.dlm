# One completion, the unlock's.
shows waiting-lock-is-unlocked
open a b
a lock A "r" EX
a gets A granted
b lock B "r" PR
a gets A blocking PR
b unlock B
b gets B unlocked
queues "r" granted A:EX
a unlock A
a gets A unlocked
b gets nothing
