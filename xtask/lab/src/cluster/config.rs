//! The configuration of the nodes.

/// The parts of corosync.conf that do not depend on the nodes.
const COROSYNC: &str = include_str!("files/corosync.conf");
const DLM: &str = include_str!("files/dlm.conf");

/// The network that the hub makes.
const NETWORK: &str = "10.77.0";

/// corosync.conf for this many nodes.
#[must_use]
pub(super) fn corosync(nodes: u8) -> String {
    let mut text = COROSYNC.to_owned();
    if nodes == 2 {
        text = text.replace(
            "    provider: corosync_votequorum\n",
            "    provider: corosync_votequorum\n    two_node: 1\n",
        );
    }
    text.push_str("\nnodelist {\n");
    for node in 1..=nodes {
        text.push_str(&format!(
            "    node {{\n        nodeid: {node}\n        name: node{node}\n        \
             ring0_addr: {NETWORK}.{node}\n    }}\n"
        ));
    }
    text.push_str("}\n");
    text
}

/// dlm.conf, with fencing or without.
#[must_use]
pub(super) fn dlm(fencing: bool) -> String {
    let text = if fencing {
        DLM.to_owned()
    } else {
        let kept = DLM.lines().filter(|line| !line.starts_with("fence_all"));
        let text = kept.collect::<Vec<_>>().join("\n") + "\n";
        text.replace("enable_fencing=1", "enable_fencing=0")
    };
    // So that a failed test shows what was decided and when.
    text + "log_debug=1\n"
}

/// /etc/hosts for this many nodes.
#[must_use]
pub(super) fn hosts(nodes: u8) -> String {
    let mut text = String::from("127.0.0.1 localhost\n");
    for node in 1..=nodes {
        text.push_str(&format!("{NETWORK}.{node} node{node}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_is_listed() {
        let text = corosync(3);
        assert_eq!(text.matches("ring0_addr: 10.77.0.").count(), 3);
        assert!(text.contains("nodeid: 3\n") && !text.contains("two_node"));
        assert!(corosync(2).contains("two_node: 1"));
        assert!(hosts(3).ends_with("10.77.0.3 node3\n"));
    }

    #[test]
    fn the_page_for_users_shows_what_the_tests_use() {
        let page = include_str!("../../../../dlm-runtime/docs/cluster.md");
        assert!(page.contains(&corosync(3)), "corosync.conf differs");
        assert!(page.contains(DLM), "dlm.conf differs");
    }

    #[test]
    fn fencing_can_be_switched_off() {
        assert!(dlm(true).contains("\nenable_fencing=1\n"));
        assert!(dlm(true).contains("\nfence_all "));
        assert!(dlm(false).contains("\nenable_fencing=0\n"));
        assert!(!dlm(false).contains("fence_all"));
    }
}
