# The second gives up its mode, the first is granted, and the completion says so.
shows convdeadlk-demotes
open a b
a lock A "r" PR
a gets A granted
b lock B "r" PR
b gets B granted
a convert A EX
b gets B blocking EX
b convert B EX convdeadlk
b gets nothing
a gets A granted
a gets A blocking EX
queues "r" granted A:EX converting B:NL>EX
a unlock A
a gets A unlocked
b gets B granted demoted
