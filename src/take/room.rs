//! How much room a take needs in the store, told before it is made.

use wan_alpha_take::TakeRequest;
use wan_alpha_take::store::Store;

use super::lines::size;
use super::places::can_write;
use crate::console::Console;

/// Says how much room a take needs and where, unless a folder has it already.
pub(crate) fn say_size(request: &TakeRequest, store: &Store, console: &Console<'_>) {
    if request.key().is_ok_and(|key| store.look_at(&key).take.is_some()) {
        return;
    }
    let Some(folder) = store.folders().iter().find(|folder| can_write(folder)) else { return };
    let pixels = u64::from(request.width) * u64::from(request.height);
    let bytes = size(pixels * u64::from(request.frames) * BYTES_OF_A_PIXEL);
    console.remark(&format!("the take will be {bytes} in the store {}", folder.display()));
}

/// Half-float RGBA, as the store keeps it.
const BYTES_OF_A_PIXEL: u64 = 8;
