# Granted EX keeps it waiting.
shows quecvt-waits-its-turn
open a b c
a lock A "r" PR
a gets A granted
b lock B "r" PR
b gets B granted
a convert A EX
b gets B blocking EX
c lock C "r" NL expedite
c gets C granted
c convert C CR quecvt
b unlock B
b gets B unlocked
a gets A granted
a gets A blocking CR
queues "r" granted A:EX converting C:NL>CR
