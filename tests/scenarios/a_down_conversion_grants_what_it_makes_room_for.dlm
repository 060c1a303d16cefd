# And no more: EX still waits for the PR that is left.
shows waiters-are-granted-in-order
open a b c
a lock A "r" EX
a gets A granted
b lock B "r" PR
c lock C "r" EX
a gets A blocking PR
a gets A blocking EX
a convert A PR
a gets A granted
a gets A blocking EX
b gets B granted
b gets B blocking EX
c gets nothing
queues "r" granted B:PR A:PR waiting C:EX
