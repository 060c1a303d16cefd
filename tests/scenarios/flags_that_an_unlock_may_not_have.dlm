# Anything but CANCEL, VALBLK, IVVALBLK and FORCEUNLOCK, and not the first with the last. The words
# of the refused unlock are taken all the same.
shows flags-refused-on-an-unlock
open a b
a lock A "r" EX
a gets A granted
a unlock A convert -> EINVAL
a unlock A persistent -> EINVAL
a unlock A cancel forceunlock -> EINVAL
a unlock A noqueue -> EINVAL
a unlock A flags=0x80000000 -> EINVAL
a unlock A noorder words=9 -> EINVAL
queues "r" granted A:EX
a gets nothing
b lock B "r" NL noqueue noqueuebast
b gets B granted
b convert B EX noqueue noqueuebast
b gets B again
a gets A blocking EX lksb=0x5b000009
a unlock A
a gets A unlocked
