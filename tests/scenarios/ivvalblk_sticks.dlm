# IVVALBLK of the request invalidates at the unlock; of a conversion that writes, at once.
shows block-at-an-unlock
open k a
k lock K "r" NL valblk
k gets K granted lvb=00
k convert K EX valblk
k gets K granted lvb=00
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" EX valblk ivvalblk
a gets A granted lvb=01
k convert K NL valblk
k gets K granted lvb=01
a unlock A lvb=02
a gets A unlocked
k convert K NL valblk
k gets K granted valnotvalid lvb=01
a lock A "r" EX valblk
a gets A granted valnotvalid lvb=01
a unlock A lvb=03
a gets A unlocked
k convert K NL valblk
k gets K granted lvb=03
a lock A "r" EX valblk
a gets A granted lvb=03
a convert A NL valblk ivvalblk lvb=04
a gets A granted
k convert K NL valblk
k gets K granted valnotvalid lvb=03
