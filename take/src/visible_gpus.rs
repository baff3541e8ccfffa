//! Which graphics cards an engine sees: however a mask spells them, the same cards mean the same
//! engine.
//!
//! `CUDA_VISIBLE_DEVICES` names cards by index or UUID, in any order, and not at all where all are
//! meant; `WAN_ALPHA_DEVICE` names one of those. Clients and engine must agree on the cards without
//! asking CUDA, so the driver's own list is read (Linux: `/proc/driver/nvidia/gpus`). Where there is
//! none, spellings are compared.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Where the driver lists the installed cards.
const DRIVER_LIST: &str = "/proc/driver/nvidia/gpus";

/// The variables that say which cards a process sees, and which of them computes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VisibleGpus {
    /// `CUDA_VISIBLE_DEVICES`; set and empty means none.
    pub mask: Option<String>,
    /// `CUDA_DEVICE_ORDER`: how indices of the mask count.
    pub order: Option<String>,
    /// `WAN_ALPHA_DEVICE`: what computes where nothing else says it.
    pub device: Option<String>,
}

/// A card that the driver lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstalledGpu {
    /// Its model, as the driver names it.
    pub model: String,
    /// `GPU-` and 32 hexadecimal digits in five groups, in small letters.
    pub uuid: String,
}

impl VisibleGpus {
    /// The engine's cards in one spelling, for its socket's name. `None`: all cards. Reads the
    /// driver's list.
    #[must_use]
    pub fn spelled(&self) -> Option<String> {
        if self.mask.is_none() && self.device.is_none() {
            return None;
        }
        self.spelled_among(&installed(Path::new(DRIVER_LIST)))
    }

    /// The same for given cards, in the order of their slots.
    #[must_use]
    pub fn spelled_among(&self, installed: &[InstalledGpu]) -> Option<String> {
        let device = self.device.as_deref().map(|text| text.trim().to_ascii_lowercase());
        if device.as_deref() == Some("cpu") {
            return Some("cpu".to_owned());
        }
        let visible = self.visible(installed);
        let device = device.filter(|device| !device.is_empty() && device != "auto");
        if let Some(device) = device {
            // Who names a card wants that or an error, and not an engine that had to do without.
            return Some(format!("only {}", one_of(&visible, &device)));
        }
        let seen: BTreeSet<String> = visible.into_iter().collect();
        let all = !installed.is_empty()
            && (seen.len() == installed.len())
            && installed
                .iter()
                .enumerate()
                .all(|(index, gpu)| seen.contains(&gpu.uuid) || seen.contains(&index.to_string()));
        let unmasked = self.mask.is_none() && seen.contains(EVERY);
        if all || unmasked {
            return None;
        }
        Some(seen.into_iter().collect::<Vec<_>>().join(","))
    }

    /// The visible cards in CUDA's order: UUIDs where they are certain, else what the mask says.
    fn visible(&self, installed: &[InstalledGpu]) -> Vec<String> {
        // CUDA counts the fastest first. Which that is, is certain among equal cards alone.
        let by_slot = self.order.as_deref() == Some("PCI_BUS_ID")
            || installed.windows(2).all(|pair| pair[0].model == pair[1].model);
        let name = |index: usize| match installed.get(index) {
            Some(gpu) if by_slot => gpu.uuid.clone(),
            _ => index.to_string(),
        };
        let Some(mask) = &self.mask else {
            if installed.is_empty() {
                return vec![EVERY.to_owned()];
            }
            return (0..installed.len()).map(name).collect();
        };
        let mut visible = Vec::new();
        for entry in mask.split(',').map(|entry| entry.trim().to_ascii_lowercase()) {
            // CUDA reads a mask up to the first entry that names nothing.
            match entry.parse::<usize>() {
                Ok(index) if installed.is_empty() || index < installed.len() => {
                    visible.push(name(index));
                }
                Ok(_) => break,
                Err(_) if entry.starts_with("gpu-") && !installed.is_empty() => {
                    let mut fitting = installed.iter().filter(|gpu| gpu.uuid.starts_with(&entry));
                    match (fitting.next(), fitting.next()) {
                        (Some(gpu), None) => visible.push(gpu.uuid.clone()),
                        _ => break,
                    }
                }
                Err(_) if entry.starts_with("gpu-") || entry.starts_with("mig-") => {
                    visible.push(entry);
                }
                Err(_) => break,
            }
        }
        visible
    }
}

/// Stands for all cards where none are listed.
const EVERY: &str = "*";

/// The visible card that a device's name means; the name itself where that is not certain.
fn one_of(visible: &[String], device: &str) -> String {
    let name = device.strip_prefix("cuda:").unwrap_or(device);
    let name = if name == "cuda" { "0" } else { name };
    if let Ok(index) = name.parse::<usize>() {
        let card = visible.get(index).filter(|card| *card != EVERY);
        return card.cloned().unwrap_or_else(|| format!("device {index}"));
    }
    let mut fitting = visible.iter().filter(|card| card.starts_with(name));
    match (fitting.next(), fitting.next()) {
        (Some(card), None) => card.clone(),
        _ => name.to_owned(),
    }
}

/// The cards in a driver's list, in the order of their slots.
#[must_use]
pub fn installed(list: &Path) -> Vec<InstalledGpu> {
    let mut slots: Vec<_> =
        fs::read_dir(list).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    slots.sort();
    slots.iter().filter_map(|slot| read(&slot.join("information"))).collect()
}

fn read(information: &Path) -> Option<InstalledGpu> {
    let text = fs::read_to_string(information).ok()?;
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim_start_matches(':').trim().to_owned())
    };
    let uuid = value("GPU UUID").filter(|uuid| uuid.starts_with("GPU-"))?;
    Some(InstalledGpu { model: value("Model")?, uuid: uuid.to_ascii_lowercase() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpus(models: &[&str]) -> Vec<InstalledGpu> {
        let gpu = |(index, model): (usize, &&str)| InstalledGpu {
            model: (*model).to_owned(),
            uuid: format!("gpu-{index}a"),
        };
        models.iter().enumerate().map(gpu).collect()
    }

    fn spelled(mask: Option<&str>, device: Option<&str>, installed: &[InstalledGpu]) -> String {
        let [mask, device] = [mask, device].map(|text| text.map(str::to_owned));
        let spelled = VisibleGpus { mask, order: None, device }.spelled_among(installed);
        spelled.unwrap_or_else(|| "all".to_owned())
    }

    #[test]
    fn masks_that_name_the_same_cards_are_one() {
        let two = gpus(&["H100", "H100"]);
        for mask in [None, Some("0,1"), Some("1, 0"), Some("GPU-0A,gpu-1"), Some("0,GPU-1a")] {
            assert_eq!(spelled(mask, None, &two), "all", "{mask:?}");
        }
        for mask in ["1", "gpu-1", " 1 ", "1,-1,0", "1,7,0"] {
            assert_eq!(spelled(Some(mask), None, &two), "gpu-1a", "{mask}");
        }
        for mask in ["", "-1", "none", "GPU-", "2"] {
            assert_eq!(spelled(Some(mask), None, &two), "", "{mask}");
        }
        let one = gpus(&["RTX 4090"]);
        for mask in [None, Some("0"), Some("GPU-0a")] {
            assert_eq!(spelled(mask, None, &one), "all", "{mask:?}");
        }
        assert_eq!(spelled(Some("MIG-7"), None, &one), "mig-7");
    }

    #[test]
    fn a_device_is_one_of_the_visible_cards() {
        let two = gpus(&["H100", "H100"]);
        for (mask, device) in
            [(None, "cuda:1"), (Some("1"), "cuda:0"), (Some("1,0"), "0"), (None, "GPU-1A")]
        {
            assert_eq!(spelled(mask, Some(device), &two), "only gpu-1a", "{mask:?} {device}");
        }
        assert_eq!(spelled(None, Some("auto"), &two), "all");
        assert_eq!(spelled(None, Some("cpu"), &two), "cpu");
        assert_eq!(spelled(None, Some("cuda"), &gpus(&["H100"])), "only gpu-0a");
        assert_eq!(spelled(None, Some("cuda:5"), &two), "only device 5");
    }

    #[test]
    fn indices_of_unlike_cards_stay_indices_unless_slots_count() {
        let unlike = gpus(&["RTX 4090", "T1000"]);
        assert_eq!(spelled(Some("0"), None, &unlike), "0");
        assert_eq!(spelled(Some("1,0"), None, &unlike), "all");
        assert_eq!(spelled(Some("GPU-0a"), None, &unlike), "gpu-0a");
        let by_slot =
            VisibleGpus { mask: Some("0".into()), order: Some("PCI_BUS_ID".into()), device: None };
        assert_eq!(by_slot.spelled_among(&unlike).as_deref(), Some("gpu-0a"));
    }

    #[test]
    fn without_a_driver_s_list_spellings_are_compared() {
        assert_eq!(spelled(None, None, &[]), "all");
        assert_eq!(spelled(None, Some("auto"), &[]), "all");
        assert_eq!(spelled(Some("1,0"), None, &[]), spelled(Some("0, 1"), None, &[]));
        assert_eq!(spelled(None, Some("cuda:1"), &[]), "only device 1");
        assert_eq!(spelled(Some("3"), Some("cuda:0"), &[]), "only 3");
    }

    #[test]
    fn the_driver_s_list_is_read_by_slot() {
        let list = tempfile::tempdir().unwrap();
        for (slot, uuid) in [("0000:41:00.0", "GPU-BB"), ("0000:01:00.0", "GPU-AA")] {
            let folder = list.path().join(slot);
            fs::create_dir(&folder).unwrap();
            let text = format!(
                "Model: \t\t NVIDIA H100\nIRQ:   \t\t 17\nGPU UUID: \t {uuid}\nDevice Minor: \t 0\n"
            );
            fs::write(folder.join("information"), text).unwrap();
        }
        let found = installed(list.path());
        let uuids: Vec<_> = found.iter().map(|gpu| gpu.uuid.as_str()).collect();
        assert_eq!((uuids, found[0].model.as_str()), (vec!["gpu-aa", "gpu-bb"], "NVIDIA H100"));
        assert!(installed(Path::new("nowhere")).is_empty());
    }
}
