# QUECVT up and sideways is granted at once when no conversion is queued.
shows quecvt-pairs
open a
a lock A "r" NL
a gets A granted
a convert A CR quecvt
a gets A granted
a convert A CW quecvt
a gets A granted
a convert A PR
a gets A granted
a convert A CW quecvt
a gets A granted
a convert A PW quecvt
a gets A granted
a convert A EX quecvt
a gets A granted
