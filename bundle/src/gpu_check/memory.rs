//! Memory of cards over time, as `nvidia-smi` tells it: what the driver has given away, whoever
//! holds it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use parking_lot::Mutex;

/// How often it is asked.
const EVERY: Duration = Duration::from_millis(200);
/// A reading this old says nothing of now.
const STALE: Duration = Duration::from_secs(3);

/// One card at one time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct MemoryReading {
    at: Instant,
    card: u32,
    /// Memory in use on the card, in megabytes of 2^20 bytes.
    used: f64,
}

/// Asks all the time, until it is dropped.
pub(super) struct MemorySampler {
    child: Child,
    readings: Arc<Mutex<Vec<MemoryReading>>>,
}

impl MemorySampler {
    pub(super) fn start() -> Result<Self> {
        let mut child = Command::new("nvidia-smi")
            .args(["--query-gpu=index,memory.used", "--format=csv,noheader,nounits", "-lms"])
            .arg(EVERY.as_millis().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("nvidia-smi could not be started")?;
        let readings = Arc::<Mutex<Vec<MemoryReading>>>::default();
        if let Some(stdout) = child.stdout.take() {
            let readings = Arc::clone(&readings);
            thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    readings.lock().extend(reading(&line, Instant::now()));
                }
            });
        }
        Ok(Self { child, readings })
    }

    pub(super) fn readings(&self) -> Vec<MemoryReading> {
        self.readings.lock().clone()
    }
}

impl Drop for MemorySampler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Of a line such as `0, 1234`.
fn reading(line: &str, at: Instant) -> Option<MemoryReading> {
    let (card, used) = line.split_once(',')?;
    Some(MemoryReading { at, card: card.trim().parse().ok()?, used: used.trim().parse().ok()? })
}

/// The most that one card held between two times beyond what it held before `begun`, in bytes.
pub(super) fn peak(
    readings: &[MemoryReading],
    begun: Instant,
    (from, to): (Instant, Instant),
) -> Option<f64> {
    let of_cards = cards(readings).into_iter().filter_map(|card| {
        let own = || readings.iter().filter(|reading| reading.card == card);
        let before = own().filter(|reading| reading.at <= begun).map(|r| r.used).next_back()?;
        let within = own().filter(|reading| (from..=to).contains(&reading.at)).map(|r| r.used);
        within.map(|used| used - before).reduce(f64::max)
    });
    of_cards.reduce(f64::max).map(|megabytes| megabytes * 1_048_576.0)
}

/// What the card that holds most beyond `begun` holds now.
pub(super) fn now(readings: &[MemoryReading], begun: Instant) -> Option<f64> {
    let at = readings.last()?.at;
    (at.elapsed() < STALE).then_some(())?;
    let last: Vec<_> = cards(readings)
        .into_iter()
        .filter_map(|card| readings.iter().rfind(|reading| reading.card == card).copied())
        .collect();
    let first = readings.iter().filter(|reading| reading.at <= begun).copied();
    let all: Vec<_> = first.chain(last).collect();
    let from = all.iter().map(|r| r.at).filter(|at| *at > begun).min()?;
    peak(&all, begun, (from, at))
}

fn cards(readings: &[MemoryReading]) -> Vec<u32> {
    let mut cards: Vec<_> = readings.iter().map(|reading| reading.card).collect();
    cards.sort_unstable();
    cards.dedup();
    cards
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(begun: Instant, of: &[(u64, u32, f64)]) -> Vec<MemoryReading> {
        let at = |seconds| begun + Duration::from_secs(seconds);
        of.iter()
            .map(|&(seconds, card, used)| MemoryReading { at: at(seconds), card, used })
            .collect()
    }

    #[test]
    fn a_peak_is_what_one_card_holds_beyond_what_it_held_before() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let all = readings(
            start,
            &[(0, 0, 100.0), (0, 1, 9_000.0), (2, 0, 1_100.0), (2, 1, 9_001.0), (4, 0, 5_100.0)],
        );
        let megabytes = |peak: Option<f64>| peak.map(|bytes| bytes / 1_048_576.0);
        assert_eq!(megabytes(peak(&all, at(1), (at(2), at(3)))), Some(1_000.0));
        assert_eq!(megabytes(peak(&all, at(1), (at(2), at(9)))), Some(5_000.0));
        assert_eq!(peak(&all, at(1), (at(7), at(9))), None);
        assert_eq!(peak(&all[2..], at(1), (at(2), at(9))), None);
        assert_eq!(peak(&[], at(1), (at(2), at(9))), None);
    }

    #[test]
    fn now_is_the_last_reading_of_each_card() {
        let begun = Instant::now().checked_sub(Duration::from_secs(2)).unwrap();
        let all = readings(begun, &[(0, 0, 100.0), (1, 0, 9_100.0), (2, 0, 400.0)]);
        assert_eq!(now(&all, begun).map(|bytes| bytes / 1_048_576.0), Some(300.0));
        assert_eq!(now(&[], begun), None);
        let old = begun.checked_sub(Duration::from_secs(60)).unwrap();
        let all = readings(old, &[(0, 0, 100.0), (1, 0, 400.0)]);
        assert_eq!(now(&all, old), None);
    }

    #[test]
    fn a_line_that_says_nothing_is_passed_over() {
        let at = Instant::now();
        assert_eq!(reading("1, 2345", at), Some(MemoryReading { at, card: 1, used: 2345.0 }));
        for line in ["", "No devices were found", "0, [N/A]", "0"] {
            assert_eq!(reading(line, at), None);
        }
    }
}
