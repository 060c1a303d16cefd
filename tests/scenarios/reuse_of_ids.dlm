# The id of an unlocked lock is free at once on 6.12, and on 6.1 when its last result is read.
shows reuse-of-ids
open a
a lock A "r" EX
a gets A granted
a unlock A
a lock B "s" EX
on 6.1 differ A B
on 6.12 same A B
a gets A unlocked
a gets B granted
a unlock B
a gets B unlocked
a lock C "t" EX
same A C
a gets C granted
