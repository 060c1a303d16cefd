//! The graph as a picture: the parties on a ring, an arrow for each wait.

use std::f64::consts::TAU;
use std::fmt::Write as _;

use super::Drawing;

/// The size of a party's box.
const WIDTH: f64 = 190.0;
const HEIGHT: f64 = 34.0;

pub(super) fn text(drawing: &Drawing<'_>) -> String {
    let count = drawing.graph.agents.len();
    // Boxes on a ring that leaves room for labels between them.
    #[expect(clippy::cast_precision_loss, reason = "no more boxes than fit on a picture")]
    let (number, radius) = (count.max(1) as f64, (count as f64 * 52.0).max(150.0));
    let (centre_x, centre_y) = (radius + WIDTH, radius + HEIGHT * 2.0);
    let place = |at: usize| {
        #[expect(clippy::cast_precision_loss, reason = "no more boxes than fit on a picture")]
        let angle = TAU * at as f64 / number - TAU / 4.0;
        (centre_x + radius * angle.cos(), centre_y + radius * angle.sin())
    };
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {:.0} {:.0}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <defs><marker id=\"tip\" viewBox=\"0 0 10 10\" refX=\"10\" refY=\"5\" markerWidth=\"8\" \
         markerHeight=\"8\" orient=\"auto\"><path d=\"M0 0 10 5 0 10z\" fill=\"context-stroke\"/>\
         </marker></defs>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        centre_x * 2.0,
        centre_y * 2.0
    );
    for (wait, in_circle) in drawing.graph.waits.iter().zip(drawing.in_circles()) {
        let colour = if in_circle { "#c00" } else { "#666" };
        let (from, to) = (place(wait.waiter), place(wait.blocker));
        let (from, to) = (edge(from, to), edge(to, from));
        // Bent aside, so that two that lead back and forth are seen apart.
        let bend = (
            f64::midpoint(from.0, to.0) + (to.1 - from.1) * 0.12,
            f64::midpoint(from.1, to.1) - (to.0 - from.0) * 0.12,
        );
        let _ = writeln!(
            text,
            "<path d=\"M{:.0} {:.0} Q{:.0} {:.0} {:.0} {:.0}\" fill=\"none\" stroke=\"{colour}\" \
             stroke-width=\"1.5\" marker-end=\"url(#tip)\"/>",
            from.0, from.1, bend.0, bend.1, to.0, to.1
        );
        let _ = writeln!(
            text,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\" font-size=\"11\" \
             fill=\"{colour}\">{}</text>",
            // The middle of the curve.
            f64::midpoint(bend.0, f64::midpoint(from.0, to.0)),
            f64::midpoint(bend.1, f64::midpoint(from.1, to.1)) - 4.0,
            escaped(&drawing.label(wait))
        );
    }
    for (at, name) in drawing.graph.names.iter().enumerate() {
        let (x, y) = place(at);
        let _ = writeln!(
            text,
            "<rect x=\"{:.0}\" y=\"{:.0}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"6\" \
             fill=\"#eef\" stroke=\"#336\"/><text x=\"{x:.0}\" y=\"{:.0}\" \
             text-anchor=\"middle\">{}</text>",
            x - WIDTH / 2.0,
            y - HEIGHT / 2.0,
            y + 4.0,
            escaped(name)
        );
    }
    text.push_str("</svg>\n");
    text
}

/// The point where the line from a box's middle to another place leaves the box.
fn edge(from: (f64, f64), to: (f64, f64)) -> (f64, f64) {
    let (x, y) = (to.0 - from.0, to.1 - from.1);
    let scale = |half: f64, way: f64| if way == 0.0 { f64::INFINITY } else { half / way.abs() };
    let part = scale(WIDTH / 2.0, x).min(scale(HEIGHT / 2.0, y)).min(1.0);
    (from.0 + x * part, from.1 + y * part)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
