# The holder is not notified again until it was granted anew.
shows waiter-that-comes-back
open a b
a lock A "r" EX
a gets A granted
b lock B "r" EX
a gets A blocking EX
b cancel B
b gets B cancelled
b lock B "r" EX
a gets nothing
b cancel B
b gets B cancelled
b lock B "r" EX
a gets nothing
a convert A EX
a gets A granted
a gets A blocking EX
