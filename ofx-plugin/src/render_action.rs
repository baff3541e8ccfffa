//! What a render does, as how things stand demands: one table for sessions with an artist, one for
//! batch renders.

#![forbid(unsafe_code)]

use crate::session::JobReadiness;
use crate::take_state::TakeState;

/// What a render is to do while a take is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    Auto,
    Wait,
    Error,
    Empty,
}

impl Missing {
    /// In the order of the parameter.
    pub(crate) const ALL: [Self; 4] = [Self::Auto, Self::Wait, Self::Error, Self::Empty];

    /// As `WAN_ALPHA_MISSING` spells it.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let names = ["auto", "wait", "error", "empty"];
        names.iter().position(|known| *known == name).and_then(|at| Self::ALL.get(at)).copied()
    }
}

/// Why something else than the take is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    /// Nothing was asked for yet.
    Blank,
    /// It is being made.
    Pending,
    /// It is in no store, and nobody makes it.
    Absent,
    /// It was not made, or its request cannot be read.
    Failed,
}

/// How things stand with the take of a render.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Ready,
    Lacking(Lack),
}

impl Standing {
    pub(crate) fn of(sight: &TakeState) -> Self {
        match sight {
            TakeState::Take(JobReadiness::Ready(_)) => Self::Ready,
            TakeState::Blank => Self::Lacking(Lack::Blank),
            TakeState::Take(JobReadiness::Pending(_)) => Self::Lacking(Lack::Pending),
            TakeState::Take(JobReadiness::Absent) => Self::Lacking(Lack::Absent),
            TakeState::Take(JobReadiness::Failed(_)) | TakeState::Unreadable(_) => {
                Self::Lacking(Lack::Failed)
            }
        }
    }
}

/// What a render does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RenderAction {
    /// Shows the take.
    Show,
    /// Shows the held take with a mark, else a placeholder.
    StandIn,
    /// Shows nothing.
    Empty,
    /// Fails, with every place that was searched.
    FailAsMissing,
    /// Fails, with the reason.
    FailWithReason,
    /// Waits for the job that there is.
    Wait,
    /// Has the take made, and waits.
    Make,
    /// Makes a request of the parameters first.
    Request,
}

/// What to do. A session with an artist never starts a job here.
pub(crate) fn render_action(batch: bool, missing: Missing, standing: Standing) -> RenderAction {
    let Standing::Lacking(lack) = standing else { return RenderAction::Show };
    match (lack, missing, batch) {
        (Lack::Blank, Missing::Empty, false) => RenderAction::Empty,
        (Lack::Blank, _, false) => RenderAction::StandIn,
        (Lack::Blank, _, true) => RenderAction::Request,
        (Lack::Failed, _, true) => RenderAction::FailWithReason,
        (Lack::Failed, _, false) => RenderAction::StandIn,
        (_, Missing::Error, _) => RenderAction::FailAsMissing,
        (_, Missing::Empty, _) => RenderAction::Empty,
        (_, Missing::Auto | Missing::Wait, true) => RenderAction::Make,
        (Lack::Pending, Missing::Wait, false) => RenderAction::Wait,
        (Lack::Pending | Lack::Absent, _, false) => RenderAction::StandIn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LACKS: [Lack; 4] = [Lack::Blank, Lack::Pending, Lack::Absent, Lack::Failed];

    #[test]
    fn a_session_with_an_artist_starts_nothing() {
        for missing in Missing::ALL {
            for lack in LACKS {
                let course = render_action(false, missing, Standing::Lacking(lack));
                assert!(
                    !matches!(course, RenderAction::Make | RenderAction::Request),
                    "{missing:?} {lack:?}"
                );
            }
        }
    }

    #[test]
    fn a_batch_render_never_shows_anything_but_the_take_or_nothing() {
        for missing in Missing::ALL {
            for lack in LACKS {
                assert_ne!(
                    render_action(true, missing, Standing::Lacking(lack)),
                    RenderAction::StandIn
                );
            }
        }
    }

    #[test]
    fn the_table_is_that_of_the_design() {
        let row =
            |lack, batch| Missing::ALL.map(|m| render_action(batch, m, Standing::Lacking(lack)));
        use RenderAction::{Empty, FailAsMissing, FailWithReason, Make, Request, StandIn, Wait};
        assert_eq!(row(Lack::Pending, false), [StandIn, Wait, FailAsMissing, Empty]);
        assert_eq!(row(Lack::Pending, true), [Make, Make, FailAsMissing, Empty]);
        assert_eq!(row(Lack::Absent, false), [StandIn, StandIn, FailAsMissing, Empty]);
        assert_eq!(row(Lack::Absent, true), [Make, Make, FailAsMissing, Empty]);
        assert_eq!(row(Lack::Blank, false), [StandIn, StandIn, StandIn, Empty]);
        assert_eq!(row(Lack::Blank, true), [Request; 4]);
        assert_eq!(row(Lack::Failed, false), [StandIn; 4]);
        assert_eq!(row(Lack::Failed, true), [FailWithReason; 4]);
        assert_eq!(render_action(true, Missing::Error, Standing::Ready), RenderAction::Show);
    }

    #[test]
    fn the_variable_is_spelled_as_the_parameter() {
        use crate::params::{Kind, MISSING, TABLE, position};
        let kind = position(MISSING).map(|at| TABLE[at].kind);
        let Some(Kind::Choice { options }) = kind else { panic!("{kind:?}") };
        let found: Vec<_> =
            options.iter().map(|name| Missing::named(name.to_str().unwrap())).collect();
        assert_eq!(found, Missing::ALL.map(Some));
        assert_eq!(Missing::named("Wait"), None);
    }
}
