# On a 64-bit kernel: it converts, reads and writes the block, hears of others and unlocks.
shows short-results-for-ever
open a b
a lock A "r" NL valblk width=32
a gets A granted lvb=00
a convert A EX width=32
a gets A granted lvb=00
b lock B "r" PR valblk
a gets A blocking PR
a convert A NL valblk lvb=05 width=32
a gets A granted
b gets B granted lvb=05
a convert A NL valblk width=32
a gets A granted lvb=05
a unlock A width=32
a gets A unlocked
