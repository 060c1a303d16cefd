# QUECVT up and sideways is granted at once when no conversion is queued: each pair that may have it.
shows quecvt-pairs
open a
a lock A "r" NL
a gets A granted
a convert A CR quecvt
a gets A granted
queues "r" granted A:CR
a unlock A
a gets A unlocked
a lock A "r" NL
a gets A granted
a convert A CW quecvt
a gets A granted
queues "r" granted A:CW
a unlock A
a gets A unlocked
a lock A "r" NL
a gets A granted
a convert A PR quecvt
a gets A granted
queues "r" granted A:PR
a unlock A
a gets A unlocked
a lock A "r" NL
a gets A granted
a convert A PW quecvt
a gets A granted
queues "r" granted A:PW
a unlock A
a gets A unlocked
a lock A "r" NL
a gets A granted
a convert A EX quecvt
a gets A granted
queues "r" granted A:EX
a unlock A
a gets A unlocked
a lock A "r" CR
a gets A granted
a convert A CW quecvt
a gets A granted
queues "r" granted A:CW
a unlock A
a gets A unlocked
a lock A "r" CR
a gets A granted
a convert A PR quecvt
a gets A granted
queues "r" granted A:PR
a unlock A
a gets A unlocked
a lock A "r" CR
a gets A granted
a convert A PW quecvt
a gets A granted
queues "r" granted A:PW
a unlock A
a gets A unlocked
a lock A "r" CR
a gets A granted
a convert A EX quecvt
a gets A granted
queues "r" granted A:EX
a unlock A
a gets A unlocked
a lock A "r" CW
a gets A granted
a convert A PR quecvt
a gets A granted
queues "r" granted A:PR
a unlock A
a gets A unlocked
a lock A "r" CW
a gets A granted
a convert A PW quecvt
a gets A granted
queues "r" granted A:PW
a unlock A
a gets A unlocked
a lock A "r" CW
a gets A granted
a convert A EX quecvt
a gets A granted
queues "r" granted A:EX
a unlock A
a gets A unlocked
a lock A "r" PR
a gets A granted
a convert A CW quecvt
a gets A granted
queues "r" granted A:CW
a unlock A
a gets A unlocked
a lock A "r" PR
a gets A granted
a convert A PW quecvt
a gets A granted
queues "r" granted A:PW
a unlock A
a gets A unlocked
a lock A "r" PR
a gets A granted
a convert A EX quecvt
a gets A granted
queues "r" granted A:EX
a unlock A
a gets A unlocked
a lock A "r" PW
a gets A granted
a convert A EX quecvt
a gets A granted
queues "r" granted A:EX
a unlock A
a gets A unlocked
