# Makes the block invalid; below PW it does not.
shows close-invalidates-the-block
open k a
k lock K "r" NL valblk
k gets K granted lvb=00
k convert K EX valblk
k gets K granted lvb=00
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" PR
a gets A granted
close a
k convert K NL valblk
k gets K granted lvb=01
open b
b lock B "r" PW
b gets B granted
close b
k convert K NL valblk
k gets K granted valnotvalid lvb=01
