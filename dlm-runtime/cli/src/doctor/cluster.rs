//! The programs that the DLM needs: a controller, a cluster, fencing.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use dlm_runtime::inspect::Snapshot;

use super::Finding;

/// Programs that tell the kernel of the cluster.
const CONTROLLERS: [&str; 2] = ["dlm_controld", "dlm_sand"];

pub(super) fn look() -> Vec<Finding> {
    let programs = programs();
    let runs = |name: &str| programs.iter().any(|program| program == name);
    let controller = CONTROLLERS.into_iter().find(|name| runs(name));
    let mut found = vec![configured(controller), monitored()];
    if controller == Some("dlm_controld") {
        found.push(if runs("corosync") {
            Finding::ok("corosync", "it runs")
        } else {
            Finding::bad(
                "corosync",
                "dlm_controld runs, and corosync does not",
                "systemctl start corosync",
            )
        });
        found.push(told());
    }
    found.extend(fencing());
    found
}

/// Whether somebody has told the kernel who this node is.
fn configured(controller: Option<&str>) -> Finding {
    let check = "controller";
    let is_known = Snapshot::without_queues().is_ok_and(|here| here.node.is_some());
    match (controller, is_known) {
        (Some(name), true) => {
            Finding::ok(check, format!("{name} runs, and has told the kernel of the nodes"))
        }
        (Some(name), false) => Finding::bad(
            check,
            format!(
                "{name} runs, and has not told the kernel of this node: it waits for the cluster"
            ),
            "corosync-quorumtool -s",
        ),
        (None, true) => Finding::note(
            check,
            "the kernel knows its nodes, and neither dlm_controld nor dlm_sand runs",
            "systemctl start dlm, unless another program does this on purpose",
        ),
        (None, false) => Finding::bad(
            check,
            "nobody has told the kernel of a cluster: no lockspace can be made",
            "systemctl start dlm",
        ),
    }
}

/// Whether the controller has the device open by which the kernel knows that it lives.
fn monitored() -> Finding {
    let check = "monitor";
    match is_open("/dev/dlm-monitor") {
        Some(true) => Finding::ok(check, "a controller has /dev/dlm-monitor open"),
        Some(false) => Finding::note(
            check,
            "nobody has /dev/dlm-monitor open: the kernel would not notice the end of its controller, \
             or that was noticed already",
            "if creations fail with EUNATCH, the controller has died: reboot this node",
        ),
        None => Finding::unknown(check, "only root sees who has /dev/dlm-monitor open; try sudo"),
    }
}

/// What dlm_controld says of the quorum.
fn told() -> Finding {
    let check = "quorum";
    let Some(status) = says("dlm_tool", &["status"]) else {
        return Finding::unknown(check, "dlm_tool status gives no answer");
    };
    let mut words = status.split_whitespace().skip_while(|word| *word != "quorate").skip(1);
    match words.next() {
        Some("1") => Finding::ok(check, "the cluster has it"),
        Some("0") => Finding::bad(
            check,
            "the cluster has lost it: lockspaces stay stopped",
            "bring nodes back: corosync-quorumtool -s lists them",
        ),
        _ => Finding::unknown(check, "dlm_tool status does not say"),
    }
}

/// Whether fencing is switched off.
fn fencing() -> Option<Finding> {
    let text = fs::read_to_string("/etc/dlm/dlm.conf").ok()?;
    let is_off = text.lines().any(|line| line.replace(' ', "").starts_with("enable_fencing=0"));
    is_off.then(|| {
        Finding::bad(
            "fencing",
            "/etc/dlm/dlm.conf switches it off: a node that is cut off goes on with locks that others are given",
            "remove enable_fencing=0 there, and configure a fence agent: man dlm.conf",
        )
    })
}

/// The names of all processes.
fn programs() -> Vec<String> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let name = |path: &Path| fs::read_to_string(path.join("comm")).ok();
    let names = entries.filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok());
    names.filter_map(|entry| Some(name(&entry.path())?.trim().to_owned())).collect()
}

/// Whether a process has a file open. `None` if that cannot be seen.
fn is_open(file: &str) -> Option<bool> {
    // Of root's process 1 only root sees them.
    fs::read_dir("/proc/1/fd").ok()?;
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut links = processes
        .filter_map(|process| fs::read_dir(process.path().join("fd")).ok())
        .flat_map(|links| links.flatten());
    Some(links.any(|link| fs::read_link(link.path()).is_ok_and(|target| target == Path::new(file))))
}

/// What a program prints, if it runs and succeeds.
fn says(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
