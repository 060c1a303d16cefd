//! The answers of the kernel's DLM, shown by its device alone. Each test needs a machine with a
//! DLM.

mod close;
mod compat;
mod device;
mod first_requests;
mod golden;
mod lockspace;
mod reading;
mod request;
mod scenarios;
mod stopped;
