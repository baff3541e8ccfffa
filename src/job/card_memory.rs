//! The card that a take asks for on a farm, by the plan of its memory.

use anyhow::Result;
use wan_alpha_core::generate::Pipeline;
use wan_alpha_core::plan::{CapSource, Headroom, MemoryBudget, TakeSizes, plan};
use wan_alpha_take::TakeRequest;

use crate::cpu_estimate::LARGE;

/// Gigabytes of cards that there are.
const CARDS: [u32; 9] = [8, 12, 16, 24, 32, 40, 48, 80, 96];

/// Memory that a machine with a card has for blocks that come and go, in bytes.
const HOST: u64 = 64_000_000_000;

/// Gigabytes of the smallest card that the take fits; none where a processor makes it in good time.
///
/// # Errors
/// No card has room for it.
pub(super) fn needed(pipeline: &Pipeline, request: &TakeRequest) -> Result<Option<u32>> {
    if pipeline.files().dit.parameters() < LARGE {
        return Ok(None);
    }
    let sizes = pipeline.sizes(request.precision)?;
    let take = TakeSizes::of(request);
    let mut refusal = None;
    for card in CARDS {
        let total = u64::from(card) * 1_000_000_000;
        let budget = MemoryBudget {
            is_card: true,
            free: total,
            total,
            headroom: Headroom::CARD,
            cap: None,
            cap_by: CapSource::default(),
            host_free: HOST,
            host_total: 2 * HOST,
        };
        match plan(&sizes, &take, &budget) {
            Ok(_) => return Ok(Some(card)),
            Err(refused) => refusal = Some(refused),
        }
    }
    match refusal {
        Some(refused) => Err(anyhow::anyhow!("{refused}; {}", refused.remedy())),
        None => Ok(None),
    }
}
