//! The graph in the language of Graphviz.

use std::fmt::Write as _;

use super::Drawing;

pub(super) fn text(drawing: &Drawing<'_>) -> String {
    let mut text = "digraph dlm {\n  rankdir=LR;\n  node [shape=box, style=rounded];\n".to_owned();
    for (at, name) in drawing.graph.names.iter().enumerate() {
        let _ = writeln!(text, "  a{at} [label=\"{}\"];", quoted(name));
    }
    for (wait, in_circle) in drawing.graph.waits.iter().zip(drawing.in_circles()) {
        let colour = if in_circle { ", color=red, fontcolor=red" } else { "" };
        let (waiter, blocker, label) = (wait.waiter, wait.blocker, drawing.label(wait));
        let _ = writeln!(text, "  a{waiter} -> a{blocker} [label=\"{}\"{colour}];", quoted(&label));
    }
    text.push_str("}\n");
    text
}

fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
