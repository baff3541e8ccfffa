//! What a render does, by the state of its take: one table for sessions with an artist, one for batch
//! renders.

#![forbid(unsafe_code)]

use crate::take_state::TakeStateKind;

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

/// What a render does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RenderAction {
    /// Shows the frame of the take.
    ShowTake,
    /// Shows the previous take with a badge, else a placeholder.
    ShowPrevious,
    /// Shows transparent black everywhere.
    ShowEmpty,
    /// Fails, with every place that was searched.
    FailAsMissing,
    /// Fails, with the reason why there is no take.
    FailWithReason,
    /// Waits for the job that there is.
    Wait,
    /// Has the take made, and waits.
    Make,
    /// Makes a request of the parameters first.
    Request,
}

/// What to do. A session with an artist never starts a job here.
pub(crate) fn render_action(batch: bool, missing: Missing, state: TakeStateKind) -> RenderAction {
    use TakeStateKind::{Absent, Blank, Failed, Pending, Ready};
    match (state, missing, batch) {
        (Ready, _, _) => RenderAction::ShowTake,
        (Blank, _, true) => RenderAction::Request,
        // Who asks for an error or for nothing wants no picture that is not the take.
        (Blank | Failed, Missing::Empty, _) => RenderAction::ShowEmpty,
        (Blank | Failed, Missing::Error, _) => RenderAction::FailWithReason,
        (Blank, Missing::Auto | Missing::Wait, false) => RenderAction::ShowPrevious,
        (Failed, Missing::Auto | Missing::Wait, false) => RenderAction::ShowPrevious,
        (Failed, Missing::Auto | Missing::Wait, true) => RenderAction::FailWithReason,
        (Pending | Absent, Missing::Error, _) => RenderAction::FailAsMissing,
        (Pending | Absent, Missing::Empty, _) => RenderAction::ShowEmpty,
        (Pending | Absent, Missing::Auto | Missing::Wait, true) => RenderAction::Make,
        (Pending, Missing::Wait, false) => RenderAction::Wait,
        (Pending, Missing::Auto, false) => RenderAction::ShowPrevious,
        (Absent, Missing::Auto | Missing::Wait, false) => RenderAction::ShowPrevious,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every state in which there is no take to show.
    const WITHOUT_TAKE: [TakeStateKind; 4] = [
        TakeStateKind::Blank,
        TakeStateKind::Pending,
        TakeStateKind::Absent,
        TakeStateKind::Failed,
    ];

    #[test]
    fn a_session_with_an_artist_starts_nothing() {
        for missing in Missing::ALL {
            for state in WITHOUT_TAKE {
                let action = render_action(false, missing, state);
                assert!(
                    !matches!(action, RenderAction::Make | RenderAction::Request),
                    "{missing:?} {state:?}"
                );
            }
        }
    }

    #[test]
    fn a_batch_render_never_shows_anything_but_the_take_or_nothing() {
        for missing in Missing::ALL {
            for state in WITHOUT_TAKE {
                assert_ne!(render_action(true, missing, state), RenderAction::ShowPrevious);
            }
        }
    }

    #[test]
    fn an_error_or_nothing_is_never_a_placeholder() {
        for (missing, state) in
            [Missing::Error, Missing::Empty].into_iter().flat_map(|m| WITHOUT_TAKE.map(|s| (m, s)))
        {
            let action = render_action(false, missing, state);
            let is_picture = matches!(action, RenderAction::ShowPrevious | RenderAction::ShowTake);
            assert!(!is_picture, "{missing:?} {state:?}");
            assert_eq!(action == RenderAction::ShowEmpty, missing == Missing::Empty, "{state:?}");
        }
    }

    #[test]
    fn the_table_is_that_of_the_design() {
        let row = |state, batch| Missing::ALL.map(|missing| render_action(batch, missing, state));
        use RenderAction::{
            FailAsMissing, FailWithReason, Make, Request, ShowEmpty, ShowPrevious, ShowTake, Wait,
        };
        use TakeStateKind::{Absent, Blank, Failed, Pending, Ready};
        assert_eq!(row(Pending, false), [ShowPrevious, Wait, FailAsMissing, ShowEmpty]);
        assert_eq!(row(Pending, true), [Make, Make, FailAsMissing, ShowEmpty]);
        assert_eq!(row(Absent, false), [ShowPrevious, ShowPrevious, FailAsMissing, ShowEmpty]);
        assert_eq!(row(Absent, true), [Make, Make, FailAsMissing, ShowEmpty]);
        assert_eq!(row(Blank, false), [ShowPrevious, ShowPrevious, FailWithReason, ShowEmpty]);
        assert_eq!(row(Blank, true), [Request; 4]);
        assert_eq!(row(Failed, false), [ShowPrevious, ShowPrevious, FailWithReason, ShowEmpty]);
        assert_eq!(row(Failed, true), [FailWithReason, FailWithReason, FailWithReason, ShowEmpty]);
        assert_eq!(row(Ready, false), [ShowTake; 4]);
        assert_eq!(row(Ready, true), [ShowTake; 4]);
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
