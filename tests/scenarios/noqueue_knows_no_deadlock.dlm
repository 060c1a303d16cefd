# A conversion that would deadlock fails as any other with NOQUEUE.
shows noqueue-comes-before-deadlock
open a b
a lock A "r" PR
a gets A granted
b lock B "r" PR
b gets B granted
a convert A EX
b gets B blocking EX
b convert B EX noqueue
b gets B again
queues "r" granted B:PR converting A:PR>EX
b unlock B
b gets B unlocked
a gets A granted
