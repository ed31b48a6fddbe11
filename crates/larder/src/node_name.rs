//! What tells this node from others.

/// The name of the host.
pub(crate) fn host() -> String {
    read("/proc/sys/kernel/hostname").trim_end().to_owned()
}

/// A name that no other node has, even one with the same host name.
pub(crate) fn unique() -> String {
    ["/etc/machine-id", "/proc/sys/kernel/hostname"].map(read).concat()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
