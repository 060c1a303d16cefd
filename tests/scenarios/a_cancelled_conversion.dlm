# It keeps its mode, and can be made and cancelled again.
shows cancelled-conversion
open a b
a lock A "r" PR
a gets A granted
b lock B "r" PR
b gets B granted
a convert A EX
b gets B blocking EX
a cancel A
a gets A cancelled
queues "r" granted A:PR B:PR
a convert A EX
a gets nothing
a cancel A
a gets A cancelled
a convert A EX
b unlock B
b gets B unlocked
a gets A granted
