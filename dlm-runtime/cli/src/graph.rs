//! `dlm graph`: who waits for whom, drawn, and the deadlocks in it.

mod dot;
mod svg;

use std::fmt::Write as _;

use dlm_runtime::inspect::{Grouping, Obstacle, Resource, WaitGraph, deadlock};

use crate::args::{Common, GraphArgs, GraphFormat};
use crate::json;
use crate::output::{Paint, is_coloured, paint, print, print_json};
use crate::scene::Scene;
use crate::status::{Failure, Status};

/// The graph of what is looked at.
pub(crate) struct Drawing<'a> {
    pub(crate) resources: &'a [Resource],
    pub(crate) graph: WaitGraph,
    pub(crate) deadlocks: Vec<deadlock::Deadlock>,
}

impl<'a> Drawing<'a> {
    pub(crate) fn new(resources: &'a [Resource], grouping: Grouping) -> Self {
        let graph = WaitGraph::new(resources, grouping);
        Self { resources, graph, deadlocks: deadlock::find(resources, grouping) }
    }

    /// A wait's resource, in words.
    fn resource(&self, at: usize) -> String {
        let resource = self.resources.get(at);
        resource.map_or(String::new(), |it| format!("{}/{}", it.lockspace, it.name))
    }

    /// The name of a party.
    fn name(&self, agent: usize) -> &str {
        self.graph.names.get(agent).map_or("?", String::as_str)
    }

    /// The waits of circles, by their places among all waits.
    fn in_circles(&self) -> Vec<bool> {
        let circles = self.graph.cycles();
        let is_in = |wait| circles.iter().any(|circle| circle.waits.contains(wait));
        self.graph.waits.iter().map(is_in).collect()
    }

    /// What a wait asks for, and why it is not granted: `PR on demo/disk0, held EX`.
    fn label(&self, wait: &dlm_runtime::inspect::Wait) -> String {
        let locks = self.resources.get(wait.resource).map(|resource| &resource.locks);
        let lock = |at: usize| locks.and_then(|locks| locks.get(at));
        let mode = |mode: Option<dlm_runtime::Mode>| mode.map_or("-", dlm_runtime::Mode::name);
        let wanted = mode(lock(wait.waiting_lock).and_then(|lock| lock.requested));
        let resource = self.resource(wait.resource);
        match wait.obstacle {
            Obstacle::Holds => {
                let held = mode(lock(wait.blocking_lock).and_then(|lock| lock.granted));
                format!("{wanted} on {resource}, held {held}")
            }
            Obstacle::Precedes => format!("{wanted} on {resource}, behind"),
        }
    }
}

pub(crate) fn run(args: &GraphArgs, scene: &Scene, common: &Common) -> Result<Status, Failure> {
    let resources = scene.resources(args.lockspace.as_deref())?;
    let grouping = if args.by_process { Grouping::Process } else { Grouping::Thread };
    let drawing = Drawing::new(&resources, grouping);
    if common.json {
        print_json(&as_json(&drawing))?;
    } else {
        let text = match args.format {
            GraphFormat::Text => text(&drawing, is_coloured()),
            GraphFormat::Dot => dot::text(&drawing),
            GraphFormat::Svg => svg::text(&drawing),
        };
        print(&text)?;
    }
    Ok(if drawing.deadlocks.is_empty() { Status::Good } else { Status::Not })
}

fn as_json(drawing: &Drawing<'_>) -> json::Graph {
    let waits = drawing.graph.waits.iter().map(|wait| {
        let resource = drawing.resources.get(wait.resource);
        json::Wait {
            waiter: drawing.name(wait.waiter).to_owned(),
            blocker: drawing.name(wait.blocker).to_owned(),
            lockspace: resource.map_or(String::new(), |it| it.lockspace.clone()),
            resource: resource.map_or(String::new(), |it| it.name.to_string()),
            why: json::why(wait.obstacle),
        }
    });
    json::Graph {
        waits: waits.collect(),
        deadlocks: drawing.deadlocks.iter().map(json::Deadlock::from).collect(),
    }
}

fn text(drawing: &Drawing<'_>, coloured: bool) -> String {
    let mut text = String::new();
    for (wait, in_circle) in drawing.graph.waits.iter().zip(drawing.in_circles()) {
        let (waiter, blocker) = (drawing.name(wait.waiter), drawing.name(wait.blocker));
        let line = format!("{waiter} --> {blocker}  ({})", drawing.label(wait));
        let paint_it = if in_circle { Paint::Bad } else { Paint::Waits };
        text.push_str(&paint(&line, paint_it, coloured));
        text.push('\n');
    }
    if drawing.graph.waits.is_empty() {
        text.push_str("nobody waits\n");
    }
    for deadlock in &drawing.deadlocks {
        let _ = writeln!(text, "{}", paint(&deadlock.to_string(), Paint::Bad, coloured));
    }
    text
}
