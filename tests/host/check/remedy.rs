//! What to do where a rule of the host is broken.

use wan_alpha_test_host::Rule;

pub(crate) fn of(rule: Rule) -> &'static str {
    match rule {
        Rule::KnownStatus => {
            "Answer actions with the statuses that ofxCore.h and ofxImageEffect.h define."
        }
        Rule::FittingStatus => {
            "Answer OK where the action was done, Failed where it was not, and ReplyDefault only where the action has a default; a render that is given up answers OK, and CreateInstance and DestroyInstance answer OK."
        }
        Rule::LiveHandle => {
            "Use a handle only while its object lives: images until they are released, instances until they are destroyed; never make one up."
        }
        Rule::NotNull => "Check pointers before they are given to the host.",
        Rule::PropertyType => {
            "Use the property function of the type that OpenFX gives the property."
        }
        Rule::PropertyIndex => "Set properties from index 0 on, and stay within their dimension.",
        Rule::ReadOnlyProperty => {
            "Set only what the plug-in may set; what the host says is the host's."
        }
        Rule::DanglingString => "Copy a string of the host's before the next call to the host.",
        Rule::Utf8 => "Give strings as UTF-8.",
        Rule::HostThread => {
            "Call suites only inside an action and on its thread, or on threads of the multithread suite."
        }
        Rule::QuietSetHost => {
            "In setHost store the pointer and call nothing; fetch suites in OfxActionLoad."
        }
        Rule::SameDescription => "Let descriptions depend on the host and the context only.",
        Rule::Definition => {
            "Define parameters and clips while describing in a context, once each, with types that exist; groups before their children."
        }
        Rule::DefaultInRange => {
            "Give a default within its range, an option that exists, and a least value that is not above the greatest."
        }
        Rule::SetWhereAllowed => {
            "Set parameters in InstanceChanged, in an instance's edit actions and in interacts, never where pictures are made or asked about."
        }
        Rule::NoSetInCreate => {
            "Leave parameters alone in CreateInstance: their values come from the project."
        }
        Rule::ReadAtTime => {
            "While rendering read with paramGetValueAtTime and the time of the render."
        }
        Rule::BalancedEdit => {
            "End each paramEditBegin with a paramEditEnd in the same action, also where something fails in between."
        }
        Rule::UndisturbedUndo => {
            "Where a change comes from undo or redo, write nothing that is undoable itself."
        }
        Rule::BoundedRecursion => {
            "Do not answer a change by changing again without end: look whether the value is already there, and at the reason of the change."
        }
        Rule::ReleasedImage => "Release every image once, before the action returns.",
        Rule::ImageInRender => "Fetch images in Render only, at times that getFramesNeeded named.",
        Rule::InsideWindow => {
            "Write pixels of the render window only; go from row to row by rowBytes, which may be negative or padded."
        }
        Rule::EveryPixel => {
            "Write every pixel of the render window, also where there is nothing to show."
        }
        Rule::FinitePixels => "Write numbers that are finite.",
        Rule::OnePicture => {
            "Let a picture depend on parameters, clips and time only; raise a saved parameter where something else has changed."
        }
        Rule::SensibleAnswer => {
            "Answer with finite regions and ranges whose ends are in order, with clips that exist and words that OpenFX defines."
        }
        Rule::DrawInDraw => "Draw in the Draw action only, and ask for redraws outside of it.",
        Rule::OrderedProgress => "Start progress before it is updated, and end it.",
        Rule::MessageWhereAllowed => {
            "While rendering use setPersistentMessage; messages that wait for the artist belong into his own actions."
        }
        Rule::GivenBack => "Give mutexes and memory of the host back, once.",
    }
}
