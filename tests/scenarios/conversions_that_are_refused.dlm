# Unknown ids, flags of new requests, contradictions. Of a known lock the words are taken.
shows conversions-that-are-refused
open a b
a convert id=0 NL -> ENOENT
a convert id=0x1234 NL -> ENOENT
a convert id=0xffffffff NL -> ENOENT
a convert id=0x7fffffff NL -> ENOENT
a lock A "r" PR
a gets A granted
a unlock A
a gets A unlocked
a convert A NL -> ENOENT
a lock B "r" PR
a gets B granted
a convert B NL expedite words=9 -> EINVAL
a convert B EX expedite words=9 -> EINVAL
a convert B EX cancel words=9 -> EINVAL
a convert B EX convdeadlk noqueue words=9 -> EINVAL
a convert B mode=6 words=9 -> EINVAL
a gets nothing
queues "r" granted B:PR
b lock C "r" EX noqueue noqueuebast
b gets C again
a gets B blocking EX words=9
