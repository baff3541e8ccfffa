//! The color space that a node's pictures are in, on their way to the host and back.

#![forbid(unsafe_code)]

use crate::node::Node;
use crate::ofx_status::Status;
use crate::params::TRANSFER;
use crate::picture::Transfer;

/// As the parameter says, or as the host of this name works.
pub(crate) fn transfer_of(node: Node<'_>) -> Result<Transfer, Status> {
    let chosen = node.choice(
        TRANSFER,
        &[None, Some(Transfer::AsGenerated), Some(Transfer::LinearRec709), Some(Transfer::AcesCg)],
    )?;
    Ok(chosen.unwrap_or_else(|| Transfer::of_host(&node.effect().host().name())))
}
