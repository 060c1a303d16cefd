# A waiting or converting lock is not converted, but takes the words of the refused conversion.
shows busy-lock-is-not-converted
open a b
a lock A "r" EX
a gets A granted
b lock B "r" PR
a gets A blocking PR
b convert B CR words=9 -> EBUSY
b gets nothing
a unlock A
a gets A unlocked
b gets B granted words=9
queues "r" granted B:PR
a lock C "r" PR
a gets C granted
a convert C EX
b gets B blocking EX words=9
a convert C NL words=8 -> EBUSY
queues "r" granted B:PR converting C:PR>EX
b unlock B
b gets B unlocked addr=0xca000009
a gets C granted words=8
