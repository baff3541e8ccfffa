//! The actions of OpenFX, and what may be answered and done in each.

#![forbid(unsafe_code)]

use crate::status::Status;

macro_rules! actions {
    ($($name:ident = $text:literal;)+) => {
        /// An action that a host asks of a plug-in or of its overlay.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "they are named as in OpenFX")]
        pub enum Action {
            $($name,)+
            /// Not an action: the host introduces itself.
            SetHost,
            /// Describes an overlay before any is made.
            DescribeInteract,
            /// Makes an instance of an overlay.
            CreateInteract,
            /// Destroys an instance of an overlay.
            DestroyInteract,
            /// One that OpenFX does not have.
            Other(String),
        }

        impl Action {
            /// As it is sent.
            #[must_use]
            pub fn name(&self) -> &str {
                match self {
                    $(Self::$name => $text,)+
                    Self::SetHost => "setHost",
                    Self::DescribeInteract => Self::Describe.name(),
                    Self::CreateInteract => Self::CreateInstance.name(),
                    Self::DestroyInteract => Self::DestroyInstance.name(),
                    Self::Other(name) => name,
                }
            }

            /// The one of that name; names of the overlay are told apart by who is asked.
            #[must_use]
            pub fn named(name: &str) -> Self {
                match name {
                    $($text => Self::$name,)+
                    other => Self::Other(other.to_owned()),
                }
            }
        }
    };
}

actions! {
    Load = "OfxActionLoad";
    Unload = "OfxActionUnload";
    Describe = "OfxActionDescribe";
    DescribeInContext = "OfxImageEffectActionDescribeInContext";
    CreateInstance = "OfxActionCreateInstance";
    DestroyInstance = "OfxActionDestroyInstance";
    BeginInstanceChanged = "OfxActionBeginInstanceChanged";
    InstanceChanged = "OfxActionInstanceChanged";
    EndInstanceChanged = "OfxActionEndInstanceChanged";
    BeginInstanceEdit = "OfxActionBeginInstanceEdit";
    EndInstanceEdit = "OfxActionEndInstanceEdit";
    SyncPrivateData = "OfxActionSyncPrivateData";
    PurgeCaches = "OfxActionPurgeCaches";
    GetClipPreferences = "OfxImageEffectActionGetClipPreferences";
    GetRegionOfDefinition = "OfxImageEffectActionGetRegionOfDefinition";
    GetRegionsOfInterest = "OfxImageEffectActionGetRegionsOfInterest";
    GetFramesNeeded = "OfxImageEffectActionGetFramesNeeded";
    GetTimeDomain = "OfxImageEffectActionGetTimeDomain";
    GetOutputColourspace = "OfxImageEffectActionGetOutputColourspace";
    IsIdentity = "OfxImageEffectActionIsIdentity";
    BeginSequenceRender = "OfxImageEffectActionBeginSequenceRender";
    Render = "OfxImageEffectActionRender";
    EndSequenceRender = "OfxImageEffectActionEndSequenceRender";
    Draw = "OfxInteractActionDraw";
    PenMotion = "OfxInteractActionPenMotion";
    PenDown = "OfxInteractActionPenDown";
    PenUp = "OfxInteractActionPenUp";
    KeyDown = "OfxInteractActionKeyDown";
    KeyUp = "OfxInteractActionKeyUp";
    KeyRepeat = "OfxInteractActionKeyRepeat";
    GainFocus = "OfxInteractActionGainFocus";
    LoseFocus = "OfxInteractActionLoseFocus";
}

impl Action {
    /// Whether this action may have this answer.
    #[must_use]
    pub fn may_answer(&self, status: Status) -> bool {
        let failures = [Status::FAILED, Status::ERR_FATAL, Status::ERR_MEMORY];
        if status == Status::OK {
            return !matches!(self, Self::Other(_));
        }
        match self {
            Self::SetHost => false,
            Self::Other(_) => status == Status::REPLY_DEFAULT,
            Self::Load => {
                status == Status::REPLY_DEFAULT
                    || status == Status::ERR_MISSING_HOST_FEATURE
                    || status == Status::ERR_UNLICENSED
                    || failures.contains(&status)
            }
            Self::Describe | Self::DescribeInContext => {
                status == Status::ERR_MISSING_HOST_FEATURE || failures.contains(&status)
            }
            // Some hosts destroy only what was created with OK, so that the default leaks.
            Self::CreateInstance => failures.contains(&status),
            Self::DestroyInstance => false,
            Self::Render => {
                status == Status::ERR_IMAGE_FORMAT
                    || status == Status::ERR_UNLICENSED
                    || status == Status::GPU_OUT_OF_MEMORY
                    || status == Status::GPU_RENDER_FAILED
                    || failures.contains(&status)
            }
            _ => status == Status::REPLY_DEFAULT || failures.contains(&status),
        }
    }

    /// Whether parameters may be set.
    #[must_use]
    pub fn may_set_parameters(&self) -> bool {
        matches!(
            self,
            Self::CreateInstance
                | Self::BeginInstanceChanged
                | Self::InstanceChanged
                | Self::EndInstanceChanged
                | Self::BeginInstanceEdit
                | Self::EndInstanceEdit
                | Self::SyncPrivateData
                | Self::PenMotion
                | Self::PenDown
                | Self::PenUp
                | Self::KeyDown
                | Self::KeyUp
                | Self::KeyRepeat
                | Self::GainFocus
                | Self::LoseFocus
        )
    }

    /// Whether something is changed by the artist: a parameter or clip, or what an overlay shows.
    #[must_use]
    pub fn is_change(&self) -> bool {
        matches!(
            self,
            Self::InstanceChanged
                | Self::PenMotion
                | Self::PenDown
                | Self::PenUp
                | Self::KeyDown
                | Self::KeyUp
                | Self::KeyRepeat
                | Self::GainFocus
                | Self::LoseFocus
        )
    }

    /// Whether this may come on a thread that renders.
    #[must_use]
    pub fn is_of_rendering(&self) -> bool {
        matches!(
            self,
            Self::BeginSequenceRender
                | Self::Render
                | Self::EndSequenceRender
                | Self::IsIdentity
                | Self::GetFramesNeeded
                | Self::GetRegionOfDefinition
                | Self::GetRegionsOfInterest
        )
    }
}
