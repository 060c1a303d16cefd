# Neither locks nor ids.
shows lockspaces-share-nothing
control create two
open a
open b in two
a lock A "r" EX
b lock B "r" EX
same A B
a gets A granted
b gets B granted
queues "r" in two granted B:EX
queues "r" granted A:EX
