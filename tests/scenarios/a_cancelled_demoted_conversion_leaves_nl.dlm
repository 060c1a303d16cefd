# And nothing says so.
shows convdeadlk-demotes
open a b
a lock A "r" PR
a gets A granted
b lock B "r" PR
b gets B granted
a convert A EX
b gets B blocking EX
b convert B EX convdeadlk
a gets A granted
a gets A blocking EX
b cancel B
b gets B cancelled
queues "r" granted B:NL A:EX
b unlock B
b gets B unlocked
