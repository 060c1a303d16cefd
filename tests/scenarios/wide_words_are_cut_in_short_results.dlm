# Of a word of 64 bits a 32-bit program gets the lower half.
shows short-results-for-ever
open a
a lock A "a" EX addr=0xfedcba9876543210 param=0xffffffffffffffff lksb=0x100000005
a unlock id=0 width=32 -> ENOENT
a gets A granted addr=0x76543210 param=0xffffffff lksb=0x5
