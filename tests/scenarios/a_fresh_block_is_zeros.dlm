# A new request reads the block and never writes it.
shows new-requests-read-the-block
open a b
a lock A "r" EX valblk lvb=07
a gets A granted lvb=00
queues "r" granted A:EX lvb=none
a lock B "s" EX
a gets B granted
a convert A EX valblk lvb=01
a gets A granted
queues "r" granted A:EX lvb=01
a convert A NL
a gets A granted
b lock C "r" EX valblk lvb=02
b gets C granted lvb=01
queues "r" granted C:EX A:NL lvb=01
b lock K "t" EX valblk
b gets K granted lvb=00
b convert K NL valblk lvb=01
b gets K granted
# Nor does one in any other mode.
a lock D "t" NL valblk lvb=02
a gets D granted lvb=01
a convert D NL
a gets D granted lvb=00
a unlock D
a gets D unlocked
queues "t" granted K:NL lvb=01
a lock D "t" CR valblk lvb=02
a gets D granted lvb=01
a convert D NL
a gets D granted lvb=00
a unlock D
a gets D unlocked
queues "t" granted K:NL lvb=01
a lock D "t" CW valblk lvb=02
a gets D granted lvb=01
a convert D NL
a gets D granted lvb=00
a unlock D
a gets D unlocked
queues "t" granted K:NL lvb=01
a lock D "t" PR valblk lvb=02
a gets D granted lvb=01
a convert D NL
a gets D granted lvb=00
a unlock D
a gets D unlocked
queues "t" granted K:NL lvb=01
a lock D "t" PW valblk lvb=02
a gets D granted lvb=01
a convert D NL
a gets D granted
a unlock D
a gets D unlocked
queues "t" granted K:NL lvb=01
a lock D "t" EX valblk lvb=02
a gets D granted lvb=01
a convert D NL
a gets D granted
a unlock D
a gets D unlocked
queues "t" granted K:NL lvb=01
