# NEWEXCL wants a new one; names have 1 to 64 bytes.
shows creation-and-names
control create two newexcl
control create two newexcl -> EEXIST
control create none length=0 -> EINVAL
control create none length=65 -> EINVAL
control create none length=66 -> EINVAL
control create none length=100 -> EINVAL
control create long length=64
open a in long
a lock A "r" EX
a gets A granted
close a
# The refused creation has not counted.
control remove two
control remove two -> ENOENT
