//! The answers of dlm-engine: the scenarios, its clock, its values and its nodes.

mod cache;
mod cluster;
mod scenario_list;
mod scenarios;
mod sync;
mod time;
mod values;
