# A persistent lock stays when its device is closed, and is adopted by name and mode.
shows orphans-and-adoption
open a b
a lock A "r" PR persistent
a gets A granted
close a
queues "r" granted A:PR
b lock B "r" EX noqueue
b gets B again
b adopt C "r" EX -> EAGAIN
b adopt C "s" PR -> ENOENT
b adopt C "r" PR
same A C
b gets nothing
b adopt D "r" PR -> ENOENT
# It is an ordinary lock now.
b convert C EX
b gets C granted
close b
queues "r" none
