//! The answers that OpenFX knows, to be given and to be got.

use std::panic::{AssertUnwindSafe, catch_unwind};

use openfx_sys::OfxStatus;

#[cfg(not(panic = "unwind"))]
compile_error!("a panic must unwind to the entry point: it would end the host otherwise");

/// A status of OpenFX. The headers have them as casts, which bindgen leaves out.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status(OfxStatus);

/// What an action is answered with; an error is a status too.
pub(crate) type ActionResult = Result<Status, Status>;

impl Status {
    pub(crate) const OK: Self = Self(0);
    pub(crate) const FAILED: Self = Self(1);
    pub(crate) const MISSING_HOST_FEATURE: Self = Self(4);
    pub(crate) const UNSUPPORTED: Self = Self(5);
    /// There is no memory for what is to be done; hosts free some and try again.
    pub(crate) const MEMORY: Self = Self(8);
    pub(crate) const BAD_HANDLE: Self = Self(9);
    /// "No", where a function of the host asks something of the artist.
    pub(crate) const REPLY_NO: Self = Self(13);
    /// The host is to do what it does for nodes that do not answer this action.
    pub(crate) const REPLY_DEFAULT: Self = Self(14);
    /// The host's image is of a kind that was not offered.
    pub(crate) const IMAGE_FORMAT: Self = Self(1000);

    /// As it came from a function of the host.
    pub(crate) fn of(raw: OfxStatus) -> Self {
        Self(raw)
    }

    pub(crate) fn raw(self) -> OfxStatus {
        self.0
    }

    /// What a function of the host answered, as a result.
    pub(crate) fn ok(self) -> Result<(), Self> {
        if self == Self::OK { Ok(()) } else { Err(self) }
    }

    /// An error on its way to the host: of what another host function answered, only what says
    /// something about our action is passed on.
    pub(crate) fn as_answer(self) -> Self {
        match self {
            Self::OK
            | Self::FAILED
            | Self::MISSING_HOST_FEATURE
            | Self::UNSUPPORTED
            | Self::MEMORY
            | Self::BAD_HANDLE
            | Self::REPLY_DEFAULT
            | Self::IMAGE_FORMAT => self,
            _ => Self::FAILED,
        }
    }
}

/// Lets no panic out, and no status that a host does not expect.
pub(crate) fn guarded(answer: impl FnOnce() -> ActionResult) -> OfxStatus {
    match catch_unwind(AssertUnwindSafe(answer)) {
        Ok(Ok(status)) => status.raw(),
        Ok(Err(status)) => status.as_answer().raw(),
        Err(_) => Status::FAILED.raw(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_that_hosts_do_not_expect_becomes_failed() {
        assert_eq!(Status::of(3).as_answer(), Status::FAILED);
        assert_eq!(Status::of(-7).as_answer(), Status::FAILED);
        assert_eq!(Status::REPLY_DEFAULT.as_answer(), Status::REPLY_DEFAULT);
        assert_eq!(Status::of(0).ok(), Ok(()));
        assert_eq!(Status::of(4).ok(), Err(Status::MISSING_HOST_FEATURE));
    }

    #[test]
    fn a_panic_becomes_failed() {
        assert_eq!(guarded(|| panic!("not to be seen by any host")), Status::FAILED.raw());
    }

    #[test]
    fn an_error_becomes_a_status_that_hosts_expect() {
        assert_eq!(guarded(|| Err(Status::of(3))), Status::FAILED.raw());
        assert_eq!(guarded(|| Err(Status::MISSING_HOST_FEATURE)), 4);
        assert_eq!(guarded(|| Ok(Status::REPLY_DEFAULT)), 14);
    }
}
