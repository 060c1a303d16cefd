# Even with one that fails.
shows persistence-is-of-the-last-request
open a b c
a lock A "r" PR persistent
a gets A granted
a convert A PR
a gets A granted
close a
queues "r" none
b lock B "r" PR persistent
b gets B granted
c lock C "r" PR
c gets C granted
b convert B EX noqueue
b gets B again
close b
queues "r" granted C:PR
c convert C PR persistent
c gets C granted
close c
queues "r" granted C:PR
