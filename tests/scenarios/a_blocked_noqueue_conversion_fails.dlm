# It keeps its mode, and notifies only if it asks for that.
shows refused-conversion-keeps-its-mode
open a b
a lock A "r" PR
a gets A granted
b lock B "r" PR
b gets B granted
a convert A EX noqueue
a gets A again
b gets nothing
queues "r" granted B:PR A:PR
a convert A EX noqueue noqueuebast
a gets A again
b gets B blocking EX
b unlock B
b gets B unlocked
a convert A EX noqueue
a gets A granted
