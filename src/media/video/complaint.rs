//! What ffmpeg says of a movie that it decodes, and why it does not run, for people.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::anyhow;

use super::frame_sizes;

/// Why ffmpeg does not run.
pub(super) fn unstarted(path: &Path, error: &std::io::Error) -> anyhow::Error {
    match error.kind() {
        ErrorKind::NotFound => anyhow!(
            "{} is neither .png nor .exr, and ffmpeg, which reads videos, is not on PATH: install \
             ffmpeg (5.1 or later), or give a PNG or EXR sequence",
            path.display()
        ),
        _ => anyhow!("ffmpeg cannot be started: {error}"),
    }
}

/// What ffmpeg says first, without the places in memory that it says of its parts, without what follows of
/// it everywhere else, and without the sizes that it was asked to tell.
pub(super) fn in_one_line(text: &str) -> String {
    const MOST: usize = 2;
    const FOLLOWS: [&str; 6] = [
        "Task finished with error",
        "Terminating thread",
        "Conversion failed",
        "Nothing was written",
        "Error opening input",
        "Error while opening",
    ];
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines().filter(|line| frame_sizes::of_line(line).is_none()) {
        let mut line = line.trim();
        while let Some((_, rest)) = line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
            line = rest.trim();
        }
        if !line.is_empty() && !lines.contains(&line) {
            lines.push(line);
        }
    }
    let follows = |line: &&str| FOLLOWS.iter().any(|words| line.starts_with(words));
    let told: Vec<&str> = lines
        .iter()
        .filter(|line| !follows(line))
        .chain(lines.iter().filter(|line| follows(line)))
        .take(MOST)
        .copied()
        .collect();
    told.join("; ")
}

/// Whether what ffmpeg says, and reads on, is that something is missing or damaged.
pub(super) fn is_of_damage(complaint: &str) -> bool {
    const WORDS: [&str; 10] = [
        "prematurely",
        "corrupt",
        "damaged",
        "mismatch",
        "truncat",
        "decode failed",
        "decoding error",
        "error while decoding",
        "partial file",
        "concealing",
    ];
    let complaint = complaint.to_lowercase();
    WORDS.iter().any(|words| complaint.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ffmpeg_says_is_told_without_its_places_in_memory_and_damage_is_known() {
        let said = "[Eval @ 0x7ffe] 4194352.000000\n[png @ 0x5643] chunk too big\n[vist#0:0/png @ 0x5643] \
                    [dec:png @ 0x56] Decoding error: Invalid data\n[vost#0:0/pam @ 0x1] Task finished with \
                    error code: -1\n";
        let told = in_one_line(said);
        assert_eq!(told, "chunk too big; Decoding error: Invalid data");
        assert_eq!(in_one_line("Conversion failed!\n"), "Conversion failed!");
        for damage in [
            told.as_str(),
            "File ended prematurely",
            "LZW decode failed",
            "slice CRC mismatch 46758A7B!at 0.5 seconds",
            "corrupt input packet in stream 0",
        ] {
            assert!(is_of_damage(damage), "{damage}");
        }
        // Of sound movies of cameras.
        assert!(!is_of_damage("unable to decode APP fields: Invalid data found"));
    }
}
