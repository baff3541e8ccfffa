//! Which function answers which action.

use std::ffi::CStr;

use crate::host::{self, Call, Host};
use crate::ofx_status::{ActionResult, Status};
use crate::session::PluginSession;
use crate::{
    changed, color_management, describe, geometry, instance, make_take, names, render,
    saved_requests,
};

/// The actions that are answered; every other one has the host's default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Load,
    Unload,
    Describe,
    DescribeInContext,
    CreateInstance,
    DestroyInstance,
    InstanceChanged,
    EndInstanceChanged,
    RegionOfDefinition,
    RegionsOfInterest,
    ClipPreferences,
    OutputColorSpace,
    TimeDomain,
    BeginEdit,
    BeginSequenceRender,
    EndSequenceRender,
    Render,
    Other,
}

impl Action {
    pub(crate) fn named(name: &CStr) -> Self {
        const NAMES: &[(&CStr, Action)] = &[
            (names::ACTION_LOAD, Action::Load),
            (names::ACTION_UNLOAD, Action::Unload),
            (names::ACTION_DESCRIBE, Action::Describe),
            (names::ACTION_DESCRIBE_IN_CONTEXT, Action::DescribeInContext),
            (names::ACTION_CREATE, Action::CreateInstance),
            (names::ACTION_DESTROY, Action::DestroyInstance),
            (names::ACTION_CHANGED, Action::InstanceChanged),
            (names::ACTION_END_CHANGED, Action::EndInstanceChanged),
            (names::ACTION_REGION_OF_DEFINITION, Action::RegionOfDefinition),
            (names::ACTION_REGIONS_OF_INTEREST, Action::RegionsOfInterest),
            (names::ACTION_CLIP_PREFERENCES, Action::ClipPreferences),
            (names::ACTION_OUTPUT_COLOR_SPACE, Action::OutputColorSpace),
            (names::ACTION_TIME_DOMAIN, Action::TimeDomain),
            (names::ACTION_BEGIN_EDIT, Action::BeginEdit),
            (names::ACTION_BEGIN_SEQUENCE_RENDER, Action::BeginSequenceRender),
            (names::ACTION_END_SEQUENCE_RENDER, Action::EndSequenceRender),
            (names::ACTION_RENDER, Action::Render),
        ];
        let found = NAMES.iter().find(|(known, _)| *known == name);
        found.map_or(Self::Other, |(_, action)| *action)
    }
}

/// Notes that the host renders, where that is more than a look into a viewer: frames of a range, or nobody
/// sits before it.
fn host_renders(call: Call<'_>, begins: bool) -> Status {
    // A host that tells nothing of it renders as ever.
    let (Ok(arguments), Some(session)) = (call.arguments(), PluginSession::if_open()) else {
        return Status::REPLY_DEFAULT;
    };
    let [first, last] = [0, 1].map(|at| arguments.double(names::FRAME_RANGE, at).unwrap_or(0.0));
    let is_interactive = arguments.int(names::IS_INTERACTIVE).unwrap_or(1) != 0;
    if first != last || !is_interactive {
        session.host_renders(begins);
    }
    Status::REPLY_DEFAULT
}

pub(crate) fn answer(action: Action, call: Call<'_>) -> ActionResult {
    match action {
        Action::Other => Ok(Status::REPLY_DEFAULT),
        Action::Load => describe::load(Host::current()?),
        Action::Unload => {
            PluginSession::close();
            saved_requests::clear_cache();
            make_take::clear();
            host::forget_suites();
            Ok(Status::OK)
        }
        Action::Describe => describe::describe(call.effect()?),
        Action::DescribeInContext => describe::in_context(call.effect()?, call.arguments()?),
        Action::CreateInstance => instance::create(call.effect()?),
        Action::DestroyInstance => instance::destroy(call.effect()?),
        Action::InstanceChanged => changed::changed(call.effect()?, call.arguments()?),
        Action::EndInstanceChanged => changed::change_ended(call.effect()?, call.arguments()?),
        Action::RegionOfDefinition => {
            geometry::region_of_definition(call.effect()?, call.arguments()?, call.reply()?)
        }
        Action::RegionsOfInterest => {
            geometry::regions_of_interest(call.effect()?, call.arguments()?, call.reply()?)
        }
        Action::ClipPreferences => geometry::clip_preferences(call.effect()?, call.reply()?),
        Action::OutputColorSpace => {
            color_management::output_color_space(call.effect()?, call.reply()?)
        }
        Action::TimeDomain => geometry::time_domain(call.effect()?, call.reply()?),
        Action::BeginEdit => changed::panel_opened(call.effect()?),
        Action::BeginSequenceRender => Ok(host_renders(call, true)),
        Action::EndSequenceRender => Ok(host_renders(call, false)),
        Action::Render => render::render(call.effect()?, call.arguments()?),
    }
}
