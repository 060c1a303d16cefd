# It completes so, its id is dead, and those behind it are let through.
shows cancelled-request
open a b c
a lock A "r" PR
a gets A granted
b lock B "r" EX
c lock C "r" PR
a gets A blocking EX
c gets nothing
b cancel B
b gets B cancelled
c gets C granted
b unlock B -> ENOENT
b cancel B -> ENOENT
