# NOORDER looks at holders only; NOQUEUE knows the order.
shows noorder-overtakes
open a b c
a lock A "r" PR
a gets A granted
b lock B "r" EX
a gets A blocking EX
c lock C "r" PR noqueue
c gets C again
c lock D "r" PR noorder
c gets D granted
c gets nothing
queues "r" granted D:PR A:PR waiting B:EX
