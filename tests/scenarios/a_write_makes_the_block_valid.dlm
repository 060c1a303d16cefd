# What reads it before is told, even a conversion down without VALBLK.
shows write-makes-the-block-valid
open k a
k lock K "r" NL valblk
k gets K granted lvb=00
k convert K EX valblk
k gets K granted lvb=00
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" EX
a gets A granted
close a
open b
b lock B "r" PR
b gets B granted
b convert B NL
b gets B granted valnotvalid
b convert B EX valblk
b gets B granted valnotvalid lvb=01
b convert B EX valblk lvb=02
b gets B granted
b convert B NL
b gets B granted
k convert K NL valblk
k gets K granted lvb=02
