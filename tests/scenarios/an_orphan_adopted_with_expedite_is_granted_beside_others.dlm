# An orphan whose conversion waits is adopted with EXPEDITE, which takes the place of the flags of
# the conversion: at the next chance it is granted, whatever others hold.
shows expedite-on-an-orphan
open a b c
a lock A "r" CW persistent
a gets A granted
b lock B "r" CW
b gets B granted
c lock C "r" CR
c gets C granted
close a
c convert A EX
b gets B blocking EX
c gets C blocking EX
queues "r" granted C:CR B:CW converting A:CW>EX
b adopt A "r" CW expedite
b gets nothing
b unlock B
b gets B unlocked
b gets A granted
queues "r" granted A:EX C:CR
