//! What a part lacks, and what bringing it will cost.

use std::path::Path;

use anyhow::Result;

use super::manifest::{PartRecord, SourceRecord};
use super::parts::{RULES, SetupPart};
use super::pins::{ByteCount, Pin};
use super::wheels;

/// Left free beside what the plan counts: file system overhead, pip's temporary copy.
const MARGIN: u64 = 700_000_000;

/// How a part will be laid out.
pub(crate) struct SetupPlan {
    pub(crate) steps: Vec<WheelStep>,
    pub(crate) fetch: ByteCount,
    /// The most that will lie there at one time beyond what lies there now.
    pub(crate) disk: ByteCount,
}

/// One wheel that a part is taken from.
pub(crate) struct WheelStep {
    pub(crate) pin: Pin,
    /// What it gave at an earlier run, where all of that is still whole.
    pub(crate) whole: Option<SourceRecord>,
}

/// Why a part must be laid out, as half a sentence; `None` where it is in place.
pub(crate) fn reason(
    part: &SetupPart,
    recorded: Option<&PartRecord>,
    place: &Path,
) -> Option<String> {
    let Some(record) = recorded else {
        let unknown = "something is there that set-up has no record of; it will be replaced";
        return Some(if place.exists() { unknown } else { "not there yet" }.to_owned());
    };
    if record.fingerprint != part.fingerprint() {
        return Some("laid out from other pins or by other rules".to_owned());
    }
    let faults = record.faults(place);
    let (first, more) = faults.split_first()?;
    Some(match more.len() {
        0 => first.to_string(),
        more => format!("{first}, and {more} more differ from what was laid out"),
    })
}

impl SetupPlan {
    pub(crate) fn make(
        part: &SetupPart,
        recorded: Option<&PartRecord>,
        place: &Path,
        wheels: &Path,
    ) -> Result<Self> {
        let step = |pin: Pin| {
            let whole = recorded
                .and_then(|record| record.wheel(&pin.sha256, RULES))
                .filter(|source| source.faults(place).is_empty())
                .cloned();
            WheelStep { pin, whole }
        };
        let steps: Vec<WheelStep> = part.pins()?.into_iter().map(step).collect();
        let lacking = || steps.iter().filter(|step| step.whole.is_none()).map(|step| &step.pin);
        let fetch: ByteCount =
            lacking().filter(|pin| !wheels::is_there(pin, wheels)).map(|pin| pin.wheel_bytes).sum();
        let laid_out: ByteCount = lacking().map(|pin| pin.laid_out_bytes).sum();
        let disk = ByteCount(fetch.0 + laid_out.0 + MARGIN);
        Ok(Self { steps, fetch, disk })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::setup::manifest::FileRecord;
    use crate::setup::parts::CPU;

    /// A record of [`CPU`] with one file per wheel, and the folder that it describes.
    fn laid_out() -> (tempfile::TempDir, PartRecord) {
        let folder = tempfile::tempdir().unwrap();
        let source = |pin: &Pin| {
            fs::write(folder.path().join(&pin.name), "x").unwrap();
            let file = FileRecord { path: pin.name.clone(), size: 1, blake3: None, link: None };
            SourceRecord {
                name: pin.to_string(),
                sha256: Some(pin.sha256.clone()),
                files: vec![file],
            }
        };
        let sources = CPU.pins().unwrap().iter().map(source).collect();
        (folder, PartRecord { fingerprint: CPU.fingerprint(), rules: RULES, sources })
    }

    #[test]
    fn a_part_is_laid_out_only_for_a_reason() {
        let (folder, mut record) = laid_out();
        let place = folder.path();
        assert_eq!(reason(&CPU, Some(&record), place), None);
        assert_eq!(reason(&CPU, None, &place.join("absent")).unwrap(), "not there yet");
        assert!(reason(&CPU, None, place).unwrap().contains("no record"));

        fs::remove_file(place.join("torch")).unwrap();
        assert_eq!(reason(&CPU, Some(&record), place).unwrap(), "torch is missing");
        fs::write(place.join("nvidia-cuda-cupti"), "longer").unwrap();
        assert!(reason(&CPU, Some(&record), place).unwrap().contains("and 1 more"));
        record.fingerprint = "other".to_owned();
        assert!(reason(&CPU, Some(&record), place).unwrap().contains("other pins"));
    }

    #[test]
    fn only_damaged_wheels_are_fetched_again() {
        let (folder, record) = laid_out();
        fs::remove_file(folder.path().join("nvidia-cuda-runtime")).unwrap();
        let absent = folder.path().join("wheels");
        let plan = SetupPlan::make(&CPU, Some(&record), folder.path(), &absent).unwrap();
        let lacking: Vec<&str> = plan
            .steps
            .iter()
            .filter(|step| step.whole.is_none())
            .map(|step| step.pin.name.as_str())
            .collect();
        assert_eq!(lacking, ["nvidia-cuda-runtime"]);
        assert_eq!(plan.fetch, ByteCount(2_243_632));
    }

    #[test]
    fn wheels_at_hand_and_other_rules_change_the_plan() {
        let (folder, mut record) = laid_out();
        record.rules = RULES + 1;
        let wheels = folder.path().join("wheels");
        fs::create_dir(&wheels).unwrap();
        fs::write(wheels.join("torch-2.13.0-cp311-x.whl"), "").unwrap();
        let plan = SetupPlan::make(&CPU, Some(&record), folder.path(), &wheels).unwrap();
        assert!(plan.steps.iter().all(|step| step.whole.is_none()));
        assert_eq!(plan.fetch, ByteCount(2_243_632 + 10_715_597));
    }
}
