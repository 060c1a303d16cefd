# An unlock completes, and the id is gone.
shows unlock-ends-the-id
open a
a lock A "r" EX
a gets A granted
a unlock A
a gets A unlocked
queues "r" none
a unlock A -> ENOENT
a cancel A -> ENOENT
a deadlock A -> ENOENT
a gets nothing
# Nor are there others, whatever the words.
a unlock id=0 -> ENOENT
a cancel id=0 -> ENOENT
a unlock id=0 forceunlock -> ENOENT
a unlock id=0x1234 -> ENOENT
a cancel id=0x1234 -> ENOENT
a unlock id=0x1234 forceunlock -> ENOENT
a unlock id=0xffffffff -> ENOENT
a cancel id=0xffffffff -> ENOENT
a unlock id=0xffffffff forceunlock -> ENOENT
a unlock id=0 addr=0 param=0 lksb=0 -> ENOENT
a gets nothing
