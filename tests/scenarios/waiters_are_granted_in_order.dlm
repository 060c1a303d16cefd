# The holder's unlock grants the waiters in order, each on its own device.
shows waiters-are-granted-in-order
open a b c
a lock A "r" EX
a gets A granted
b lock B "r" EX
c lock C "r" EX
a gets A blocking EX
queues "r" granted A:EX waiting B:EX C:EX
a unlock A
a gets A unlocked
b gets B granted
c gets nothing
b gets B blocking EX
b unlock B
b gets B unlocked
c gets C granted
queues "r" granted C:EX
