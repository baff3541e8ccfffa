//! What this process holds at a moment: threads, children, open files, memory.

use std::fs;

/// What this process holds at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Traces {
    pub(crate) threads: usize,
    /// Process ids of its children.
    pub(crate) children: Vec<String>,
    /// What each open file is, in order.
    pub(crate) files: Vec<String>,
}

/// Where the system tells; only Linux does.
pub(crate) fn now() -> Option<Traces> {
    let mut files: Vec<String> = fs::read_dir("/proc/self/fd")
        .ok()?
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .map(|target| target.to_string_lossy().into_owned())
        .filter(|target| !target.ends_with("/fd"))
        .collect();
    files.sort();
    let threads = fs::read_dir("/proc/self/task").ok()?.count();
    let mut children: Vec<String> = Vec::new();
    for task in fs::read_dir("/proc/self/task").ok()?.flatten() {
        let text = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        children.extend(text.split_whitespace().map(str::to_owned));
    }
    Some(Traces { threads, children, files })
}

impl Traces {
    /// What there is that was not there before; empty where there is nothing.
    pub(crate) fn more_than(&self, before: &Self) -> Vec<String> {
        let mut found = Vec::new();
        if self.threads > before.threads {
            found.push(format!("{} threads more", self.threads - before.threads));
        }
        let children = self.children.len().saturating_sub(before.children.len());
        if children > 0 {
            found.push(format!("{children} child processes more"));
        }
        let mut files = self.files.clone();
        for file in &before.files {
            if let Some(at) = files.iter().position(|other| other == file) {
                files.remove(at);
            }
        }
        files.dedup();
        found.extend(files.into_iter().map(|file| format!("{file} left open")));
        found
    }
}

/// Memory that is used by this process, in bytes.
pub(crate) fn memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/smaps_rollup").ok()?;
    let anonymous = text.lines().find(|line| line.starts_with("Anonymous:"))?;
    let kilobytes: u64 = anonymous.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// Libraries that are mapped into this process.
pub(crate) fn libraries() -> Vec<String> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let paths = maps.lines().filter_map(|line| line.split_whitespace().nth(5));
    let mut found: Vec<String> =
        paths.filter(|path| path.contains(".so")).map(str::to_owned).collect();
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_is_named() {
        let before =
            Traces { threads: 1, children: Vec::new(), files: vec!["a".into(), "b".into()] };
        let after = Traces {
            threads: 3,
            children: vec!["7".into()],
            files: vec!["a".into(), "b".into(), "b".into()],
        };
        assert_eq!(
            after.more_than(&before),
            ["2 threads more", "1 child processes more", "b left open"]
        );
        assert_eq!(before.more_than(&after), [""; 0]);
    }
}
