//! The ellipse as the parameters of a node have it.

#![forbid(unsafe_code)]

use wan_alpha_take::Ellipse;

use crate::node::Node;
use crate::ofx_status::Status;
use crate::params::{ELLIPSE_ANGLE, ELLIPSE_AXES, ELLIPSE_CENTER};

/// The ellipse at the node's time.
pub(crate) fn drawn_ellipse(node: Node<'_>) -> Result<Ellipse, Status> {
    let [x, y] = node.pair(ELLIPSE_CENTER)?;
    let [a, b] = node.pair(ELLIPSE_AXES)?;
    Ok(Ellipse { x, y, a, b, angle: node.double(ELLIPSE_ANGLE)? })
}

/// Whether it may be another at another time.
pub(crate) fn is_keyed(node: Node<'_>) -> Result<bool, Status> {
    for id in [ELLIPSE_CENTER, ELLIPSE_AXES, ELLIPSE_ANGLE] {
        if node.instance().parameter(id)?.is_animated(node.effect()) {
            return Ok(true);
        }
    }
    Ok(false)
}
