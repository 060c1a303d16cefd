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
# Each mode.
k convert K EX valblk
k gets K granted valnotvalid lvb=01
k convert K NL valblk lvb=01
k gets K granted
open c
c lock C "r" NL
c gets C granted
close c
k convert K NL valblk
k gets K granted lvb=01
open c
c lock C "r" CR
c gets C granted
close c
k convert K NL valblk
k gets K granted lvb=01
open c
c lock C "r" CW
c gets C granted
close c
k convert K NL valblk
k gets K granted lvb=01
open c
c lock C "r" PR
c gets C granted
close c
k convert K NL valblk
k gets K granted lvb=01
open c
c lock C "r" PW
c gets C granted
close c
k convert K NL valblk
k gets K granted valnotvalid lvb=01
k convert K EX valblk
k gets K granted valnotvalid lvb=01
k convert K NL valblk lvb=01
k gets K granted
open c
c lock C "r" EX
c gets C granted
close c
k convert K NL valblk
k gets K granted valnotvalid lvb=01
