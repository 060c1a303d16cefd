//! The promises of dlm-runtime, on the kernel and on engines of each kind.

mod blocking;
mod deadline;
mod delivery;
mod edge;
mod end;
mod faults;
mod first_requests;
mod foreign_code;
mod future;
mod hazards;
mod late;
mod lvb;
mod notices;
mod orphan;
mod random;
mod refused;
mod unlock_in_callback;
mod visible_end;
