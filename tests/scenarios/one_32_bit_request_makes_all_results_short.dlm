# The layout of results follows from the first 32-bit request of a device, for ever.
shows short-results-for-ever
open a b
a lock A "a" EX
a gets A granted
a lock B "b" EX width=32
a gets B granted
a unlock A
a gets A unlocked
a lock C "c" EX valblk
a gets C granted lvb=00
b lock D "d" EX
b gets D granted
# A refused one does it, too.
b unlock id=0 width=32 -> ENOENT
b unlock D
b gets D unlocked
b lock E "e" EX
b gets E granted size=52
b reads size=51 -> EINVAL
# With a block they have 84 bytes.
a lock F "f" EX valblk
a gets F granted lvb=00 size=84
