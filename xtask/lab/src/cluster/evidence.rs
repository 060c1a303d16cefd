//! The evidence of the nodes when something goes wrong.

use super::{Cluster, sh};
use crate::vm::{Kind, Trouble, Vm};
use std::time::{Duration, Instant};

/// A node that does not answer has this long.
const PATIENCE: Duration = Duration::from_secs(5);

/// Lines that explain the last minutes of each program.
const LOGS: &str = "for log in corosync.log corosync.out dlm_controld/dlm_controld.log \
    dlm_controld.out; do echo \"- $log\"; tail -n 80 /var/log/$log; done 2>&1; \
    echo '- dlm_tool'; timeout 2 dlm_tool status 2>&1; timeout 2 dlm_tool ls 2>&1";

impl Cluster {
    /// Adds to an error what each node's console, kernel, corosync and dlm_controld say.
    #[must_use]
    pub fn explain(&self, error: &anyhow::Error) -> anyhow::Error {
        let kind = error.downcast_ref::<Trouble>().map_or(Kind::TimeLimit, |trouble| trouble.kind);
        let mut evidence = Vec::new();
        for number in self.numbers() {
            match self.node(number) {
                Ok(vm) => {
                    evidence.push((format!("node {number}: console"), vm.console()));
                    evidence.push((format!("node {number}: kernel"), kernel_log(&vm)));
                    evidence.push((format!("node {number}: cluster"), logs(&vm)));
                }
                Err(error) => evidence.push((format!("node {number}"), error.to_string())),
            }
        }
        for fenced in self.fenced() {
            let ago = |at: Instant| format!("{:.1} s ago", at.elapsed().as_secs_f64());
            let off = fenced.off.map_or("not yet".to_owned(), ago);
            let text = format!("by node {}, asked {}, off {off}", fenced.by, ago(fenced.asked));
            evidence.push((format!("fencing of node {}", fenced.victim), text));
        }
        let evidence: Vec<_> =
            evidence.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        Trouble::new(kind, format!("{error:#}"), &evidence).into()
    }
}

fn kernel_log(vm: &Vm) -> String {
    match vm.read_log(vm.log_start(), true, Instant::now() + PATIENCE) {
        Ok(log) => log.text,
        Err(error) => error.to_string().lines().next().unwrap_or_default().to_owned(),
    }
}

fn logs(vm: &Vm) -> String {
    let mut text = Vec::new();
    let Ok(job) = vm.spawn(&sh(LOGS)) else { return String::new() };
    let until = Instant::now() + PATIENCE;
    while let Ok(event) = job.next(until) {
        match event {
            crate::vm::Event::Stdout(bytes) => text.extend(bytes),
            crate::vm::Event::Stderr(_) => {}
            crate::vm::Event::Exit(_) => break,
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}
