# A read of 12 bytes returns the version, whatever results are queued, and takes none of them.
shows version-beside-results
open a
a version
a lock A "r" EX
a lock B "s" EX
a version
a gets A granted
a version
a gets B granted
a gets nothing
