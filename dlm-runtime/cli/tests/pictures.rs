//! The pictures in the documentation, as the program draws them: with `DLM_PICTURES=write` in the
//! environment they are written anew.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fmt::Write;
use std::fs;
use std::path::Path;

mod common;
use common::program;

fn dlm(arguments: &[&str]) -> String {
    let output = program().arg("--engine").args(arguments).output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

fn check(name: &str, picture: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    if std::env::var_os("DLM_PICTURES").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, picture).unwrap();
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert!(there == picture, "{} is old: see the top of this file", path.display());
}

/// A terminal with this text.
fn terminal(text: &str) -> String {
    let escape = |line: &str| line.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let (lines, columns) = (text.lines().count(), text.lines().map(str::len).max().unwrap_or(0));
    let (width, height) = (columns * 8 + 24, lines * 18 + 24);
    let mut picture = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"monospace\" font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" rx=\"6\" \
         fill=\"#222\"/>\n"
    );
    for (at, line) in text.lines().enumerate() {
        let y = at * 18 + 26;
        let weight = if line.starts_with("WAIT") { " font-weight=\"bold\"" } else { "" };
        writeln!(
            picture,
            "<text x=\"12\" y=\"{y}\" fill=\"#eee\" xml:space=\"preserve\"{weight}>{}</text>",
            escape(line)
        )
        .unwrap();
    }
    picture.push_str("</svg>\n");
    picture
}

#[test]
fn the_picture_of_graph_is_what_it_draws() {
    let picture = dlm(&["graph", "--format", "svg"]);
    assert!(picture.starts_with("<svg"));
    check("graph.svg", &picture);
}

#[test]
fn the_picture_of_top_is_what_it_shows() {
    let text = dlm(&["top", "--count", "1"]);
    assert!(text.contains("FIRST IN LINE") && text.contains("demo/disk0"), "{text}");
    check("top.svg", &terminal(&text));
}
