//! What nodes say after each step.

use super::session::Session;

impl Session<'_> {
    /// No sentence and no path stands twice in one status.
    pub(super) fn nothing_is_said_twice(&self) {
        for node in self.project.nodes() {
            let status = node.text("status");
            for part in [sentences(&status), paths(&status)] {
                let mut sorted = part.clone();
                sorted.sort_unstable();
                let twice = sorted.windows(2).find(|two| two[0] == two[1]);
                assert_eq!(twice, None, "{}: {status}", node.name());
            }
        }
    }
}

fn sentences(status: &str) -> Vec<&str> {
    status.split(". ").map(|sentence| sentence.trim_end_matches('.')).collect()
}

fn paths(status: &str) -> Vec<&str> {
    let words = status.split([' ', '(', ')', ',', '`']);
    words
        .filter(|word| word.starts_with('/'))
        .map(|word| word.trim_end_matches(['.', ';', ':']))
        .collect()
}
