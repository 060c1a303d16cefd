# A request that had to wait is granted its alternate mode when that is free at last.
shows alternate-modes
open a b c
a lock A "r" PR
a gets A granted
b lock B "r" CR
b gets B granted
b convert B PW
a gets A blocking PW
c lock C "r" EX altpr
c gets nothing
a gets A blocking EX
b cancel B
b gets B cancelled
c gets C granted altmode
queues "r" granted C:PR B:CR A:PR
