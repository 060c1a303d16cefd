# Anything but CANCEL, VALBLK, IVVALBLK and FORCEUNLOCK, and not the first with the last. The words
# of the refused unlock are taken all the same.
shows flags-refused-on-an-unlock
open a b
a lock A "r" EX
a gets A granted
a unlock A flags=0x1 -> EINVAL
a unlock A flags=0x4 -> EINVAL
a unlock A flags=0x10 -> EINVAL
a unlock A flags=0x40 -> EINVAL
a unlock A flags=0x80 -> EINVAL
a unlock A flags=0x100 -> EINVAL
a unlock A flags=0x200 -> EINVAL
a unlock A flags=0x400 -> EINVAL
a unlock A flags=0x800 -> EINVAL
a unlock A flags=0x1000 -> EINVAL
a unlock A flags=0x2000 -> EINVAL
a unlock A flags=0x4000 -> EINVAL
a unlock A flags=0x8000 -> EINVAL
a unlock A flags=0x10000 -> EINVAL
a unlock A flags=0x40000 -> EINVAL
a unlock A flags=0x80000 -> EINVAL
a unlock A flags=0x100000 -> EINVAL
a unlock A flags=0x200000 -> EINVAL
a unlock A flags=0x400000 -> EINVAL
a unlock A flags=0x800000 -> EINVAL
a unlock A flags=0x1000000 -> EINVAL
a unlock A flags=0x2000000 -> EINVAL
a unlock A flags=0x4000000 -> EINVAL
a unlock A flags=0x8000000 -> EINVAL
a unlock A flags=0x10000000 -> EINVAL
a unlock A flags=0x20000000 -> EINVAL
a unlock A flags=0x40000000 -> EINVAL
a unlock A flags=0x80000000 -> EINVAL
a unlock A cancel forceunlock -> EINVAL
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
