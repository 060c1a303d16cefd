# The caller's own bytes come back, if the lock has ever used VALBLK and the pair does not write.
shows conversion-without-valblk-echoes
open a b
a lock A "r" NL valblk
a gets A granted lvb=00
a convert A EX valblk
a gets A granted lvb=00
a convert A CR valblk lvb=01
a gets A granted
a convert A CR lvb=02
a gets A granted lvb=02
a convert A PR lvb=03
a gets A granted lvb=03
a convert A NL lvb=04
a gets A granted lvb=04
a convert A EX lvb=05
a gets A granted lvb=05
a convert A NL lvb=06
a gets A granted
queues "r" granted A:NL lvb=01
b lock B "r" NL
b gets B granted
b convert B PR lvb=07
b gets B granted
b convert B EX lvb=07
b gets B granted
b convert B NL lvb=07
b gets B granted
queues "r" granted B:NL A:NL lvb=01
