//! The time code of a frame.

use exr::meta::attribute::TimeCode;

/// Frames of a second that a time code can count.
const MOST_FRAMES: u64 = 30;

/// The time code of the frame of this number, where frame 0 is 00:00:00:00. None for rates that a time
/// code has no numbers for, and beyond 24 hours.
pub(super) fn of_frame(number: u64, frame_rate: i32) -> Option<TimeCode> {
    let rate = u64::try_from(frame_rate).ok().filter(|rate| (1..=MOST_FRAMES).contains(rate))?;
    let seconds = number / rate;
    let hours = u8::try_from(seconds / 3600).ok().filter(|hours| *hours < 24)?;
    Some(TimeCode {
        hours,
        minutes: (seconds / 60 % 60) as u8,
        seconds: (seconds % 60) as u8,
        frame: (number % rate) as u8,
        drop_frame: false,
        color_frame: false,
        field_phase: false,
        binary_group_flags: [false; 3],
        binary_groups: [0; 8],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_code_counts_frames_from_0_in_the_take_s_own_rate() {
        let said = |number, rate| {
            let code = of_frame(number, rate)?;
            Some([code.hours, code.minutes, code.seconds, code.frame])
        };
        assert_eq!(said(0, 16), Some([0, 0, 0, 0]));
        assert_eq!(said(80, 16), Some([0, 0, 5, 0]));
        assert_eq!(said(1001, 24), Some([0, 0, 41, 17]));
        assert_eq!(said(24 * 3600 * 25 - 1, 25), Some([23, 59, 59, 24]));
        assert_eq!(said(24 * 3600 * 25, 25), None);
        assert_eq!((said(1, 0), said(1, 60)), (None, None));
    }
}
