//! The answers of dlm-engine: the scenarios, its clock, its values and its nodes.

mod allocator;
mod cache;
mod cluster;
mod costs;
mod scenario_list;
mod scenarios;
mod sync;
mod time;
mod values;
