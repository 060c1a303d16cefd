# With QUECVT a conversion goes behind those that are queued; without, it overtakes them.
shows quecvt-waits-its-turn
open a b c d
a lock A "r" PR
a gets A granted
b lock B "r" PR
b gets B granted
a convert A EX
b gets B blocking EX
c lock C "r" NL expedite
c gets C granted
c convert C CR quecvt
c gets nothing
d lock D "r" NL expedite
d gets D granted
d convert D CR
d gets D granted
d gets D blocking EX
queues "r" granted D:CR B:PR converting A:PR>EX C:NL>CR
# The head of the queue goes, and the next is granted.
a cancel A
a gets A cancelled
c gets C granted
