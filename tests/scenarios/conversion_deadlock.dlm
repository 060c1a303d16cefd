# Two PR locks that both want EX: the second fails and keeps its mode, the first still waits.
shows conversion-deadlock
open a b
a lock A "r" PR
a gets A granted
b lock B "r" PR
b gets B granted
a convert A EX
b gets B blocking EX
b convert B EX
b gets B deadlock
queues "r" granted B:PR converting A:PR>EX
a gets nothing
b unlock B
b gets B unlocked
a gets A granted
