//! A key-value store on a shared file that is the same on all nodes: each node caches the buckets that it
//! reads and writes, for as long as no other node wants them.
//!
//! A bucket is read under PR and changed under EX. When another node wants it, the cache writes it back,
//! and drops it if that node wants to change it (`dlm_runtime::cache::Cached`). A crash loses what a node
//! had changed and neither flushed nor handed on; the others are told, by the lock value block.
//!
//! | file | |
//! |---|---|
//! | `store.rs` | the store: buckets, and what happens to them as locks come and go |
//! | `disk.rs` | the shared file: states of buckets that are whole or not there |
//! | `three_nodes.rs` | three nodes in this process, of which one is killed, and what is checked |
//!
//! `cargo run -p dlm-runtime --features engine --example key_value`
//!
//! With a file it is one node of a cluster, and takes commands. All nodes must have the same disk, or a file
//! of a file system of the cluster; a disk must be zeros at first.
//!
//! `cargo xtask vm run --nodes 3 --add target/debug/examples -- /examples/key_value /dev/vda`

mod disk;
mod store;
mod three_nodes;

use std::error::Error;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use dlm_runtime::LockspaceOptions;

use disk::Disk;
use store::{KeyValue, Loss};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const USAGE: &str = "\
usage: key_value
       key_value FILE

Three nodes on a lock manager in this process change a store, and one of them is killed.
With a shared file or disk: a node of a cluster, which obeys the lines of its input

    set KEY VALUE    changes a value, for all nodes
    get KEY          reads it
    flush KEY        what was set survives a crash of this node from now on
";
const LOCKSPACE: &str = "key_value";

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let outcome = match *words.as_slice() {
        [] => three_nodes::run(),
        ["-h" | "--help"] => {
            print!("{USAGE}");
            Ok(())
        }
        [file] if !file.starts_with('-') => obey(file.as_ref()),
        _ => Err("what is that? (--help tells more)".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("key_value: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The life of a node.
fn obey(file: &Path) -> Result<()> {
    let lockspace = LockspaceOptions::new().open_or_create(LOCKSPACE)?;
    let disk = Arc::new(Disk::open(file)?);
    let store = KeyValue::open(&lockspace, &disk, |bucket, loss| match loss {
        Loss::Elsewhere => println!("loss {bucket}: a node is gone that may have changed it"),
        Loss::Here(entries) => println!("loss {bucket}: not written: {entries:?}"),
    })?;
    println!("ready");
    for line in io::stdin().lines() {
        let line = line?;
        let words: Vec<_> = line.splitn(3, ' ').collect();
        let done = match *words.as_slice() {
            ["set", key, value] => store.set(key, value).map(|()| "set".to_owned()),
            ["get", key] => {
                store.get(key).map(|value| value.map_or("none".to_owned(), |it| format!("is {it}")))
            }
            ["flush", key] => store.flush(key).map(|()| "flushed".to_owned()),
            _ => Err("set KEY VALUE, get KEY or flush KEY".into()),
        };
        println!("= {}", done.unwrap_or_else(|error| format!("error {error}")));
    }
    store.close()
}
