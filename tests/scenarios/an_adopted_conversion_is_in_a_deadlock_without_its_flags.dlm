# A conversion that waits in a deadlock because of NODLCKWT loses this flag as its lock, an orphan, is
# adopted. It is in the deadlock still, and so is the other one: nobody is told that they wait.
shows adoption-replaces-flags
open a b c
a lock A "r" CW persistent
a gets A granted
b lock B "r" CW
b gets B granted
c lock C "r" CW
c gets C granted
close a
b convert B PR
c gets C blocking PR
c convert A EX nodlckwt
c gets C blocking EX
b adopt A "r" CW
queues "r" granted C:CW converting B:CW>PR A:CW>EX
c convert C CW
c gets C granted
c gets nothing
