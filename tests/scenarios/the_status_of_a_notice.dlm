# That of the last completion that was read on 6.1, and 0 on 6.12.
shows status-of-a-notice
open a b
a lock A "r" PR
a gets A granted
b lock B "r" PR
b gets B granted
a convert A EX noqueue
a gets A again
b convert B EX
on 6.1 a gets A blocking EX status=again
on 6.12 a gets A blocking EX
