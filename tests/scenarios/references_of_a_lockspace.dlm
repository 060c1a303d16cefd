# As many removals as creations are needed.
shows creations-are-counted
control create two
control create two
control remove two
open a in two
close a
control remove two
open a in two -> ENOENT
control remove two -> ENOENT
