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
