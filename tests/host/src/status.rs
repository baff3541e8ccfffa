//! The numbers that actions and functions are answered with.

#![forbid(unsafe_code)]

use std::fmt;

/// A status of OpenFX.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status(i32);

macro_rules! statuses {
    ($($(#[$doc:meta])+ $name:ident = $number:literal as $text:literal;)+) => {
        impl Status {
            $($(#[$doc])+ pub const $name: Self = Self($number);)+

            const NAMES: &'static [(Self, &'static str)] = &[$((Self::$name, $text)),+];
        }
    };
}

statuses! {
    /// The action has done all it should.
    OK = 0 as "kOfxStatOK";
    /// It did not, and the host goes on.
    FAILED = 1 as "kOfxStatFailed";
    /// The plug-in can work no more.
    ERR_FATAL = 2 as "kOfxStatErrFatal";
    /// The name is not known.
    ERR_UNKNOWN = 3 as "kOfxStatErrUnknown";
    /// The host lacks what the plug-in needs.
    ERR_MISSING_HOST_FEATURE = 4 as "kOfxStatErrMissingHostFeature";
    /// What was asked for is not supported.
    ERR_UNSUPPORTED = 5 as "kOfxStatErrUnsupported";
    /// It is there already.
    ERR_EXISTS = 6 as "kOfxStatErrExists";
    /// The format is not right.
    ERR_FORMAT = 7 as "kOfxStatErrFormat";
    /// There is not enough memory.
    ERR_MEMORY = 8 as "kOfxStatErrMemory";
    /// The handle is none.
    ERR_BAD_HANDLE = 9 as "kOfxStatErrBadHandle";
    /// The index is beyond the dimension.
    ERR_BAD_INDEX = 10 as "kOfxStatErrBadIndex";
    /// The value is not allowed.
    ERR_VALUE = 11 as "kOfxStatErrValue";
    /// The answer to a question is yes.
    REPLY_YES = 12 as "kOfxStatReplyYes";
    /// The answer to a question is no.
    REPLY_NO = 13 as "kOfxStatReplyNo";
    /// The host is to do what it does by default.
    REPLY_DEFAULT = 14 as "kOfxStatReplyDefault";
    /// The plug-in has no license.
    ERR_UNLICENSED = 15 as "kOfxStatErrUnlicensed";
    /// The image's format is not supported.
    ERR_IMAGE_FORMAT = 1000 as "kOfxStatErrImageFormat";
    /// The graphics card is out of memory.
    GPU_OUT_OF_MEMORY = 1001 as "kOfxStatGPUOutOfMemory";
    /// The graphics card failed.
    GPU_RENDER_FAILED = 1002 as "kOfxStatGPURenderFailed";
}

impl Status {
    /// As it came from a plug-in.
    #[must_use]
    pub const fn of(raw: i32) -> Self {
        Self(raw)
    }

    /// The number that OpenFX has for it.
    #[must_use]
    pub const fn raw(self) -> i32 {
        self.0
    }

    /// Whether OpenFX knows the number.
    #[must_use]
    pub fn is_known(self) -> bool {
        Self::NAMES.iter().any(|(known, _)| *known == self)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMES.iter().find(|(known, _)| known == self) {
            Some((_, name)) => write!(f, "{name} ({})", self.0),
            None => write!(f, "{} (no status of OpenFX)", self.0),
        }
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
