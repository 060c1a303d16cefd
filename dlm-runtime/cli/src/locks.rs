//! `dlm locks`: resources and their locks.

use std::fmt::Write as _;

use dlm_runtime::LockFlags;
use dlm_runtime::inspect::{Lock, Resource, meaning};

use crate::args::{Common, LocksArgs};
use crate::json;
use crate::output::{Paint, is_coloured, modes, paint, place, print, print_json, time};
use crate::scene::Scene;
use crate::status::{Failure, Status};

pub(crate) fn run(args: &LocksArgs, scene: &Scene, common: &Common) -> Result<Status, Failure> {
    let mut resources = scene.resources(args.lockspace.as_deref())?;
    resources.retain(|resource| {
        (!args.contended || resource.is_contended())
            && args.pid.is_none_or(|pid| {
                let is_of = |lock: &Lock| {
                    lock.task == pid || lock.program.as_ref().is_some_and(|it| it.pid == pid)
                };
                resource.locks.iter().any(is_of)
            })
    });
    if common.json {
        let all: Vec<_> = resources.iter().map(json::Resource::from).collect();
        print_json(&all)?;
    } else {
        let coloured = is_coloured();
        let mut text = String::new();
        for resource in &resources {
            show(resource, args.blocks, coloured, &mut text);
        }
        print(&text)?;
    }
    Ok(Status::Good)
}

fn show(resource: &Resource, with_block: bool, coloured: bool, text: &mut String) {
    let mut head = format!("{}/{}", resource.lockspace, resource.name);
    if let Some(meaning) = meaning(&resource.lockspace, &resource.name) {
        let _ = write!(head, " ({meaning})");
    }
    text.push_str(&paint(&head, Paint::Bold, coloured));
    if let Some(master) = resource.master {
        let _ = write!(text, "  master: node {master}");
    }
    if !resource.is_complete {
        text.push_str("  (locks of other nodes are not shown)");
    }
    if resource.is_doubled {
        text.push_str("  TWO RESOURCES of this name on one node");
    }
    text.push('\n');
    if let Some(block) = resource.block.as_ref().filter(|_| with_block) {
        let hex: String = block.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mark = if resource.is_block_invalid { " invalid" } else { "" };
        let _ = writeln!(text, "  block       {hex}{mark}");
    }
    for lock in &resource.locks {
        let line = line(lock);
        if lock.is_waiting() {
            text.push_str(&paint(&line, Paint::Waits, coloured));
        } else {
            text.push_str(&line);
        }
        text.push('\n');
    }
}

fn line(lock: &Lock) -> String {
    let (place, modes, owner) = (place(lock.place), modes(lock), lock.owner().to_string());
    let age = lock.age.map_or(String::new(), |age| format!("  {}", time(age)));
    let mut line = format!("  {place:<11} {modes:<8} {owner}{age}");
    if lock.transaction != 0 {
        let _ = write!(line, "  transaction {}", lock.transaction);
    }
    match lock.is_orphan {
        Some(true) if lock.program.is_some() => line.push_str("  orphan"),
        Some(true) => {}
        None if lock.flags.contains(LockFlags::PERSISTENT) => line.push_str("  perhaps an orphan"),
        _ if lock.flags.contains(LockFlags::PERSISTENT) => line.push_str("  persistent"),
        _ => {}
    }
    line
}
