//! What the kernel's DLM answers, shown by its device alone. Each test needs a machine with a DLM.

mod blocking;
mod close;
mod compat;
mod convert;
mod deadlock;
mod device;
mod first_requests;
mod golden;
mod lockspace;
mod lvb;
mod orphan;
mod queue;
mod reading;
mod request;
mod results;
mod scenarios;
mod stopped;
mod unlock;
