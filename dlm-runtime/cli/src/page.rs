//! The manual page and completions.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Args;
use crate::output::print;
use crate::status::{Failure, Status};

pub(crate) fn completion(shell: Shell) -> Result<Status, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "dlm", &mut text);
    print(&String::from_utf8_lossy(&text))?;
    Ok(Status::Good)
}

/// Options that all verbs have, and that the page tells of once.
const GLOBAL: [&str; 6] = ["json", "engine", "dump", "ask", "help", "version"];

/// The page, with a section for each verb.
pub(crate) fn manual() -> Result<Status, Failure> {
    print(&String::from_utf8_lossy(&page()?))?;
    Ok(Status::Good)
}

fn page() -> Result<Vec<u8>, Failure> {
    let mut command = Args::command().disable_help_subcommand(true);
    command.build();
    let man = clap_mangen::Man::new(command.clone()).section("8").manual("dlm-rs");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_options_section(&mut text)?;
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        text.extend(format!(".SH dlm {}\n", verb.get_name()).bytes());
        let own = verb.clone().mut_args(|arg| {
            let is_global = GLOBAL.contains(&arg.get_id().as_str());
            arg.hide(is_global)
        });
        let page = clap_mangen::Man::new(own);
        let mut part = Vec::new();
        page.render_description_section(&mut part)?;
        page.render_synopsis_section(&mut part)?;
        page.render_options_section(&mut part)?;
        page.render_extra_section(&mut part)?;
        // Its sections are parts of this one.
        text.extend(String::from_utf8_lossy(&part).replace(".SH ", ".SS ").bytes());
    }
    man.render_extra_section(&mut text)?;
    Ok(text)
}
