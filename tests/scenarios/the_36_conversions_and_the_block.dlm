# Of each pair with VALBLK: what comes back, and what is in the resource then. Keeper K holds the block.
# Read pairs (up) return it, write pairs (from PW and EX) store the caller's, the others echo it.
shows block-of-each-conversion
open k a
k lock K "r" NL valblk
k gets K granted lvb=00
# NL to NL
k convert K EX
k gets K granted lvb=00
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" NL valblk
a gets A granted lvb=01
a convert A NL valblk lvb=02
a gets A granted lvb=01
queues "r" granted A:NL K:NL lvb=01
a convert A NL
a gets A granted lvb=00
a unlock A
a gets A unlocked
# NL to CR
k convert K EX
k gets K granted lvb=00
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" NL valblk
a gets A granted lvb=01
a convert A CR valblk lvb=02
a gets A granted lvb=01
queues "r" granted A:CR K:NL lvb=01
a convert A NL
a gets A granted lvb=00
a unlock A
a gets A unlocked
# NL to CW
k convert K EX
k gets K granted lvb=00
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" NL valblk
a gets A granted lvb=01
a convert A CW valblk lvb=02
a gets A granted lvb=01
queues "r" granted A:CW K:NL lvb=01
a convert A NL
a gets A granted lvb=00
a unlock A
a gets A unlocked
# NL to PR
k convert K EX
k gets K granted lvb=00
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" NL valblk
a gets A granted lvb=01
a convert A PR valblk lvb=02
a gets A granted lvb=01
queues "r" granted A:PR K:NL lvb=01
a convert A NL
a gets A granted lvb=00
a unlock A
a gets A unlocked
# NL to PW
k convert K EX
k gets K granted lvb=00
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" NL valblk
a gets A granted lvb=01
a convert A PW valblk lvb=02
a gets A granted lvb=01
queues "r" granted A:PW K:NL lvb=01
a convert A NL
a gets A granted
a unlock A
a gets A unlocked
# NL to EX
k convert K EX
k gets K granted lvb=00
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" NL valblk
a gets A granted lvb=01
a convert A EX valblk lvb=02
a gets A granted lvb=01
queues "r" granted A:EX K:NL lvb=01
a convert A NL
a gets A granted
a unlock A
a gets A unlocked
# CR to NL
k convert K EX
k gets K granted lvb=00
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" NL valblk
a gets A granted lvb=01
a convert A CR valblk
a gets A granted lvb=01
a convert A NL valblk lvb=02
a gets A granted lvb=02
queues "r" granted A:NL K:NL lvb=01
a convert A NL
a gets A granted lvb=00
a unlock A
a gets A unlocked
# CR to CR
k convert K EX
k gets K granted lvb=00
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" NL valblk
a gets A granted lvb=01
a convert A CR valblk
a gets A granted lvb=01
a convert A CR valblk lvb=02
a gets A granted lvb=01
queues "r" granted A:CR K:NL lvb=01
a convert A NL
a gets A granted lvb=00
a unlock A
a gets A unlocked
# CR to CW
k convert K EX
k gets K granted lvb=00
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" NL valblk
a gets A granted lvb=01
a convert A CR valblk
a gets A granted lvb=01
a convert A CW valblk lvb=02
a gets A granted lvb=01
queues "r" granted A:CW K:NL lvb=01
a convert A NL
a gets A granted lvb=00
a unlock A
a gets A unlocked
# CR to PR
k convert K EX
k gets K granted lvb=00
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" NL valblk
a gets A granted lvb=01
a convert A CR valblk
a gets A granted lvb=01
a convert A PR valblk lvb=02
a gets A granted lvb=01
queues "r" granted A:PR K:NL lvb=01
a convert A NL
a gets A granted lvb=00
a unlock A
a gets A unlocked
# CR to PW
k convert K EX
k gets K granted lvb=00
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" NL valblk
a gets A granted lvb=01
a convert A CR valblk
a gets A granted lvb=01
a convert A PW valblk lvb=02
a gets A granted lvb=01
queues "r" granted A:PW K:NL lvb=01
a convert A NL
a gets A granted
a unlock A
a gets A unlocked
# CR to EX
k convert K EX
k gets K granted lvb=00
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" NL valblk
a gets A granted lvb=01
a convert A CR valblk
a gets A granted lvb=01
a convert A EX valblk lvb=02
a gets A granted lvb=01
queues "r" granted A:EX K:NL lvb=01
a convert A NL
a gets A granted
a unlock A
a gets A unlocked
# CW to NL
k convert K EX
k gets K granted lvb=00
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" NL valblk
a gets A granted lvb=01
a convert A CW valblk
a gets A granted lvb=01
a convert A NL valblk lvb=02
a gets A granted lvb=02
queues "r" granted A:NL K:NL lvb=01
a convert A NL
a gets A granted lvb=00
a unlock A
a gets A unlocked
# CW to CR
k convert K EX
k gets K granted lvb=00
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" NL valblk
a gets A granted lvb=01
a convert A CW valblk
a gets A granted lvb=01
a convert A CR valblk lvb=02
a gets A granted lvb=02
queues "r" granted A:CR K:NL lvb=01
a convert A NL
a gets A granted lvb=00
a unlock A
a gets A unlocked
# CW to CW
k convert K EX
k gets K granted lvb=00
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" NL valblk
a gets A granted lvb=01
a convert A CW valblk
a gets A granted lvb=01
a convert A CW valblk lvb=02
a gets A granted lvb=01
queues "r" granted A:CW K:NL lvb=01
a convert A NL
a gets A granted lvb=00
a unlock A
a gets A unlocked
# CW to PR
k convert K EX
k gets K granted lvb=00
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" NL valblk
a gets A granted lvb=01
a convert A CW valblk
a gets A granted lvb=01
a convert A PR valblk lvb=02
a gets A granted lvb=01
queues "r" granted A:PR K:NL lvb=01
a convert A NL
a gets A granted lvb=00
a unlock A
a gets A unlocked
# CW to PW
k convert K EX
k gets K granted lvb=00
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" NL valblk
a gets A granted lvb=01
a convert A CW valblk
a gets A granted lvb=01
a convert A PW valblk lvb=02
a gets A granted lvb=01
queues "r" granted A:PW K:NL lvb=01
a convert A NL
a gets A granted
a unlock A
a gets A unlocked
# CW to EX
k convert K EX
k gets K granted lvb=00
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" NL valblk
a gets A granted lvb=01
a convert A CW valblk
a gets A granted lvb=01
a convert A EX valblk lvb=02
a gets A granted lvb=01
queues "r" granted A:EX K:NL lvb=01
a convert A NL
a gets A granted
a unlock A
a gets A unlocked
# PR to NL
k convert K EX
k gets K granted lvb=00
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" NL valblk
a gets A granted lvb=01
a convert A PR valblk
a gets A granted lvb=01
a convert A NL valblk lvb=02
a gets A granted lvb=02
queues "r" granted A:NL K:NL lvb=01
a convert A NL
a gets A granted lvb=00
a unlock A
a gets A unlocked
# PR to CR
k convert K EX
k gets K granted lvb=00
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" NL valblk
a gets A granted lvb=01
a convert A PR valblk
a gets A granted lvb=01
a convert A CR valblk lvb=02
a gets A granted lvb=02
queues "r" granted A:CR K:NL lvb=01
a convert A NL
a gets A granted lvb=00
a unlock A
a gets A unlocked
# PR to CW
k convert K EX
k gets K granted lvb=00
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" NL valblk
a gets A granted lvb=01
a convert A PR valblk
a gets A granted lvb=01
a convert A CW valblk lvb=02
a gets A granted lvb=02
queues "r" granted A:CW K:NL lvb=01
a convert A NL
a gets A granted lvb=00
a unlock A
a gets A unlocked
# PR to PR
k convert K EX
k gets K granted lvb=00
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" NL valblk
a gets A granted lvb=01
a convert A PR valblk
a gets A granted lvb=01
a convert A PR valblk lvb=02
a gets A granted lvb=01
queues "r" granted A:PR K:NL lvb=01
a convert A NL
a gets A granted lvb=00
a unlock A
a gets A unlocked
# PR to PW
k convert K EX
k gets K granted lvb=00
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" NL valblk
a gets A granted lvb=01
a convert A PR valblk
a gets A granted lvb=01
a convert A PW valblk lvb=02
a gets A granted lvb=01
queues "r" granted A:PW K:NL lvb=01
a convert A NL
a gets A granted
a unlock A
a gets A unlocked
# PR to EX
k convert K EX
k gets K granted lvb=00
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" NL valblk
a gets A granted lvb=01
a convert A PR valblk
a gets A granted lvb=01
a convert A EX valblk lvb=02
a gets A granted lvb=01
queues "r" granted A:EX K:NL lvb=01
a convert A NL
a gets A granted
a unlock A
a gets A unlocked
# PW to NL
k convert K EX
k gets K granted lvb=00
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" NL valblk
a gets A granted lvb=01
a convert A PW valblk
a gets A granted lvb=01
a convert A NL valblk lvb=02
a gets A granted
queues "r" granted A:NL K:NL lvb=02
a convert A NL
a gets A granted lvb=00
a unlock A
a gets A unlocked
# PW to CR
k convert K EX
k gets K granted lvb=00
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" NL valblk
a gets A granted lvb=01
a convert A PW valblk
a gets A granted lvb=01
a convert A CR valblk lvb=02
a gets A granted
queues "r" granted A:CR K:NL lvb=02
a convert A NL
a gets A granted lvb=00
a unlock A
a gets A unlocked
# PW to CW
k convert K EX
k gets K granted lvb=00
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" NL valblk
a gets A granted lvb=01
a convert A PW valblk
a gets A granted lvb=01
a convert A CW valblk lvb=02
a gets A granted
queues "r" granted A:CW K:NL lvb=02
a convert A NL
a gets A granted lvb=00
a unlock A
a gets A unlocked
# PW to PR
k convert K EX
k gets K granted lvb=00
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" NL valblk
a gets A granted lvb=01
a convert A PW valblk
a gets A granted lvb=01
a convert A PR valblk lvb=02
a gets A granted
queues "r" granted A:PR K:NL lvb=02
a convert A NL
a gets A granted lvb=00
a unlock A
a gets A unlocked
# PW to PW
k convert K EX
k gets K granted lvb=00
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" NL valblk
a gets A granted lvb=01
a convert A PW valblk
a gets A granted lvb=01
a convert A PW valblk lvb=02
a gets A granted
queues "r" granted A:PW K:NL lvb=02
a convert A NL
a gets A granted
a unlock A
a gets A unlocked
# PW to EX
k convert K EX
k gets K granted lvb=00
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" NL valblk
a gets A granted lvb=01
a convert A PW valblk
a gets A granted lvb=01
a convert A EX valblk lvb=02
a gets A granted lvb=01
queues "r" granted A:EX K:NL lvb=01
a convert A NL
a gets A granted
a unlock A
a gets A unlocked
# EX to NL
k convert K EX
k gets K granted lvb=00
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" NL valblk
a gets A granted lvb=01
a convert A EX valblk
a gets A granted lvb=01
a convert A NL valblk lvb=02
a gets A granted
queues "r" granted A:NL K:NL lvb=02
a convert A NL
a gets A granted lvb=00
a unlock A
a gets A unlocked
# EX to CR
k convert K EX
k gets K granted lvb=00
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" NL valblk
a gets A granted lvb=01
a convert A EX valblk
a gets A granted lvb=01
a convert A CR valblk lvb=02
a gets A granted
queues "r" granted A:CR K:NL lvb=02
a convert A NL
a gets A granted lvb=00
a unlock A
a gets A unlocked
# EX to CW
k convert K EX
k gets K granted lvb=00
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" NL valblk
a gets A granted lvb=01
a convert A EX valblk
a gets A granted lvb=01
a convert A CW valblk lvb=02
a gets A granted
queues "r" granted A:CW K:NL lvb=02
a convert A NL
a gets A granted lvb=00
a unlock A
a gets A unlocked
# EX to PR
k convert K EX
k gets K granted lvb=00
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" NL valblk
a gets A granted lvb=01
a convert A EX valblk
a gets A granted lvb=01
a convert A PR valblk lvb=02
a gets A granted
queues "r" granted A:PR K:NL lvb=02
a convert A NL
a gets A granted lvb=00
a unlock A
a gets A unlocked
# EX to PW
k convert K EX
k gets K granted lvb=00
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" NL valblk
a gets A granted lvb=01
a convert A EX valblk
a gets A granted lvb=01
a convert A PW valblk lvb=02
a gets A granted
queues "r" granted A:PW K:NL lvb=02
a convert A NL
a gets A granted
a unlock A
a gets A unlocked
# EX to EX
k convert K EX
k gets K granted lvb=00
k convert K NL valblk lvb=01
k gets K granted
a lock A "r" NL valblk
a gets A granted lvb=01
a convert A EX valblk
a gets A granted lvb=01
a convert A EX valblk lvb=02
a gets A granted
queues "r" granted A:EX K:NL lvb=02
a convert A NL
a gets A granted
a unlock A
a gets A unlocked
