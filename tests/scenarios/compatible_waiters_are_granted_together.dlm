# Up to the first that is in the way, which keeps those behind it waiting.
shows waiters-are-granted-in-order
open a b c d
a lock A "r" EX
a gets A granted
b lock B "r" PR
c lock C "r" PR
d lock D "r" EX
d lock E "r" PR
a gets A blocking PR
a gets A blocking EX
a unlock A
a gets A unlocked
b gets B granted
b gets B blocking EX
c gets C granted
c gets C blocking EX
d gets nothing
queues "r" granted C:PR B:PR waiting D:EX E:PR
