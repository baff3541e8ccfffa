//! Which contexts of OpenFX the node offers to whom.

#![forbid(unsafe_code)]

use std::ffi::CStr;

use crate::host::{Host, Properties};
use crate::names;

/// Hosts of this family make General an effect on a clip; while Source has no use there, the node
/// is a generator only.
const GENERATOR_ONLY: &str = "DaVinciResolve";

/// In which role a host makes an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Context {
    /// A node without inputs.
    Generator,
    /// A node with an optional Source, whose region is the frame that the take is fitted into.
    General,
    /// A change of a clip, over which the take lies: for hosts that know nothing else. Elsewhere it
    /// would make an effect of the node.
    Filter,
}

impl Context {
    /// Every context that the node can be described in.
    pub(crate) const ALL: [Self; 3] = [Self::Generator, Self::General, Self::Filter];

    pub(crate) fn name(self) -> &'static CStr {
        match self {
            Self::Generator => names::CONTEXT_GENERATOR,
            Self::General => names::CONTEXT_GENERAL,
            Self::Filter => names::CONTEXT_FILTER,
        }
    }

    pub(crate) fn is_called(self, name: &str) -> bool {
        self.name().to_bytes() == name.as_bytes()
    }

    /// What to offer a host of that name, given the contexts it says it has; it may say nothing, or
    /// that there is one in which it makes everything.
    fn offered(host: &str, supported: &[String], only: &str) -> Vec<Self> {
        let is_supported = |context: &Self| supported.iter().any(|name| context.is_called(name));
        let is_useful =
            |context: &Self| *context == Self::Generator || !host.starts_with(GENERATOR_ONLY);
        let both = [Self::Generator, Self::General];
        let knows_filters_alone = if supported.is_empty() {
            Self::Filter.is_called(only)
        } else {
            is_supported(&Self::Filter) && !both.iter().any(is_supported)
        };
        if knows_filters_alone {
            return vec![Self::Filter];
        }
        both.into_iter()
            .filter(is_useful)
            .filter(|context| supported.is_empty() || is_supported(context))
            .collect()
    }

    /// What to offer a host, by what it says of itself.
    pub(crate) fn offered_to(host: &Properties<'_>) -> Vec<Self> {
        let name = host.text(names::NAME, 0).unwrap_or_default();
        let supported = host.texts(names::SUPPORTED_CONTEXTS);
        // MLT's: OpenFX itself has no such property of hosts, so no host with a list is asked.
        let only = supported.is_empty().then(|| host.text(names::CONTEXT, 0).ok()).flatten();
        Self::offered(&name, &supported, &only.unwrap_or_default())
    }
}

/// Whether a host makes filters alone.
pub(crate) fn makes_filters_alone(host: Host) -> bool {
    host.properties().is_ok_and(|host| Context::offered_to(&host) == [Context::Filter])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(host: &str, supported: &[&CStr]) -> Vec<Context> {
        let names: Vec<String> =
            supported.iter().map(|name| name.to_string_lossy().into_owned()).collect();
        Context::offered(host, &names, "")
    }

    #[test]
    fn each_host_is_offered_what_it_can_use() {
        let (generator, general) = (names::CONTEXT_GENERATOR, names::CONTEXT_GENERAL);
        let filter = c"OfxImageEffectContextFilter";
        let both = [Context::Generator, Context::General];
        assert_eq!(offered("fr.inria.Natron", &[filter, general, generator]), both);
        assert_eq!(offered("uk.co.thefoundry.nuke", &[filter, general]), [Context::General]);
        assert_eq!(offered("of.no.name", &[]), both);
        assert_eq!(offered("of.no.use", &[c"OfxImageEffectContextTransition"]), []);
        assert_eq!(offered("obs", &[filter]), [Context::Filter]);
        assert_eq!(offered("x", &[filter, generator]), [Context::Generator]);
        let only = |name: &CStr| Context::offered("MLT", &[], name.to_str().unwrap());
        assert_eq!(only(filter), [Context::Filter]);
        assert_eq!(only(general), both);
        for resolve in ["DaVinciResolve", "DaVinciResolveLite"] {
            let supported = [filter, general, generator];
            assert_eq!(offered(resolve, &supported), [Context::Generator]);
        }
    }
}
