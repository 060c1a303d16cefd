# Of PW and EX: written with VALBLK in the unlock or the last lock or conversion; below PW nothing.
shows block-at-an-unlock
open k a
k lock K "r" NL valblk
k gets K granted lvb=00
# VALBLK in the unlock.
a lock A "r" EX valblk
a gets A granted lvb=00
a convert A EX
a gets A granted
a unlock A valblk lvb=01
a gets A unlocked
queues "r" granted K:NL lvb=01
# In the lock, or the last conversion.
a lock A "r" PW valblk
a gets A granted lvb=01
a unlock A lvb=02
a gets A unlocked
queues "r" granted K:NL lvb=02
# In neither.
a lock A "r" PW valblk
a gets A granted lvb=02
a convert A EX
a gets A granted lvb=00
a unlock A lvb=03
a gets A unlocked
queues "r" granted K:NL lvb=02
# In the unlock of a lock that has never used it, and so has no block of its own.
a lock A "r" EX
a gets A granted
a unlock A valblk lvb=03
a gets A unlocked
queues "r" granted K:NL lvb=02
# Below PW.
a lock A "r" PR valblk
a gets A granted lvb=02
a unlock A valblk ivvalblk lvb=04
a gets A unlocked
k convert K NL valblk
k gets K granted lvb=02
# IVVALBLK in the unlock: the content stays, and is not valid.
a lock A "r" EX valblk
a gets A granted lvb=02
a unlock A ivvalblk lvb=05
a gets A unlocked
k convert K NL valblk
k gets K granted valnotvalid lvb=02
# Each mode: first PW and EX, with VALBLK in the last conversion, the unlock, both and neither.
k convert K EX valblk
k gets K granted valnotvalid lvb=02
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" PW valblk
a gets A granted lvb=01
a convert A PW lvb=01
a gets A granted
a unlock A valblk lvb=02
a gets A unlocked
k convert K NL valblk
k gets K granted lvb=02
k convert K EX valblk
k gets K granted lvb=02
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" PW valblk
a gets A granted lvb=01
a convert A PW valblk lvb=01
a gets A granted
a unlock A lvb=02
a gets A unlocked
k convert K NL valblk
k gets K granted lvb=02
k convert K EX valblk
k gets K granted lvb=02
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" PW valblk
a gets A granted lvb=01
a convert A PW valblk lvb=01
a gets A granted
a unlock A valblk lvb=02
a gets A unlocked
k convert K NL valblk
k gets K granted lvb=02
k convert K EX valblk
k gets K granted lvb=02
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" PW valblk
a gets A granted lvb=01
a convert A PW lvb=01
a gets A granted
a unlock A lvb=02
a gets A unlocked
k convert K NL valblk
k gets K granted lvb=01
k convert K EX valblk
k gets K granted lvb=01
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" EX valblk
a gets A granted lvb=01
a convert A EX lvb=01
a gets A granted
a unlock A valblk lvb=02
a gets A unlocked
k convert K NL valblk
k gets K granted lvb=02
k convert K EX valblk
k gets K granted lvb=02
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" EX valblk
a gets A granted lvb=01
a convert A EX valblk lvb=01
a gets A granted
a unlock A lvb=02
a gets A unlocked
k convert K NL valblk
k gets K granted lvb=02
k convert K EX valblk
k gets K granted lvb=02
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" EX valblk
a gets A granted lvb=01
a convert A EX valblk lvb=01
a gets A granted
a unlock A valblk lvb=02
a gets A unlocked
k convert K NL valblk
k gets K granted lvb=02
k convert K EX valblk
k gets K granted lvb=02
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" EX valblk
a gets A granted lvb=01
a convert A EX lvb=01
a gets A granted
a unlock A lvb=02
a gets A unlocked
k convert K NL valblk
k gets K granted lvb=01
# The modes below.
k convert K EX valblk
k gets K granted lvb=01
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" NL valblk
a gets A granted lvb=01
a convert A NL valblk lvb=01
a gets A granted lvb=01
a unlock A valblk lvb=02
a gets A unlocked
k convert K NL valblk
k gets K granted lvb=01
k convert K EX valblk
k gets K granted lvb=01
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" NL valblk
a gets A granted lvb=01
a convert A NL valblk lvb=01
a gets A granted lvb=01
a unlock A valblk ivvalblk lvb=02
a gets A unlocked
k convert K NL valblk
k gets K granted lvb=01
k convert K EX valblk
k gets K granted lvb=01
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" CR valblk
a gets A granted lvb=01
a convert A CR valblk lvb=01
a gets A granted lvb=01
a unlock A valblk lvb=02
a gets A unlocked
k convert K NL valblk
k gets K granted lvb=01
k convert K EX valblk
k gets K granted lvb=01
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" CR valblk
a gets A granted lvb=01
a convert A CR valblk lvb=01
a gets A granted lvb=01
a unlock A valblk ivvalblk lvb=02
a gets A unlocked
k convert K NL valblk
k gets K granted lvb=01
k convert K EX valblk
k gets K granted lvb=01
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" CW valblk
a gets A granted lvb=01
a convert A CW valblk lvb=01
a gets A granted lvb=01
a unlock A valblk lvb=02
a gets A unlocked
k convert K NL valblk
k gets K granted lvb=01
k convert K EX valblk
k gets K granted lvb=01
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" CW valblk
a gets A granted lvb=01
a convert A CW valblk lvb=01
a gets A granted lvb=01
a unlock A valblk ivvalblk lvb=02
a gets A unlocked
k convert K NL valblk
k gets K granted lvb=01
k convert K EX valblk
k gets K granted lvb=01
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" PR valblk
a gets A granted lvb=01
a convert A PR valblk lvb=01
a gets A granted lvb=01
a unlock A valblk lvb=02
a gets A unlocked
k convert K NL valblk
k gets K granted lvb=01
k convert K EX valblk
k gets K granted lvb=01
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" PR valblk
a gets A granted lvb=01
a convert A PR valblk lvb=01
a gets A granted lvb=01
a unlock A valblk ivvalblk lvb=02
a gets A unlocked
k convert K NL valblk
k gets K granted lvb=01
# IVVALBLK in the unlock.
k convert K EX valblk
k gets K granted lvb=01
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" PW valblk
a gets A granted lvb=01
a convert A PW lvb=01
a gets A granted
a unlock A ivvalblk lvb=02
a gets A unlocked
k convert K NL valblk
k gets K granted valnotvalid lvb=01
k convert K EX valblk
k gets K granted valnotvalid lvb=01
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" PW valblk
a gets A granted lvb=01
a convert A PW valblk lvb=01
a gets A granted
a unlock A ivvalblk lvb=02
a gets A unlocked
k convert K NL valblk
k gets K granted valnotvalid lvb=01
k convert K EX valblk
k gets K granted valnotvalid lvb=01
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" EX valblk
a gets A granted lvb=01
a convert A EX lvb=01
a gets A granted
a unlock A ivvalblk lvb=02
a gets A unlocked
k convert K NL valblk
k gets K granted valnotvalid lvb=01
k convert K EX valblk
k gets K granted valnotvalid lvb=01
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" EX valblk
a gets A granted lvb=01
a convert A EX valblk lvb=01
a gets A granted
a unlock A ivvalblk lvb=02
a gets A unlocked
k convert K NL valblk
k gets K granted valnotvalid lvb=01
