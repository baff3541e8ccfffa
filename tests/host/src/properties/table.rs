//! Every property that OpenFX defines: type, dimension, where it is found and where the plug-in may
//! write it. What an action tells or asks is given where the action is called.

#![forbid(unsafe_code)]

use super::{Item, Place, Type};
use crate::params::ParamKind;

const HOST: u16 = 1;
const EFFECT_D: u16 = 1 << 1;
const EFFECT: u16 = 1 << 2;
const CLIP_D: u16 = 1 << 3;
const CLIP: u16 = 1 << 4;
const PARAM_D: u16 = 1 << 5;
const PARAM: u16 = 1 << 6;
const PARAMS: u16 = 1 << 7;
const IMAGE: u16 = 1 << 8;
const INTERACT_D: u16 = 1 << 9;
const INTERACT: u16 = 1 << 10;
const NOWHERE: u16 = 0;

impl Place {
    fn bit(self) -> u16 {
        match self {
            Self::Host => HOST,
            Self::Descriptor => EFFECT_D,
            Self::Instance => EFFECT,
            Self::ClipDescriptor => CLIP_D,
            Self::Clip => CLIP,
            Self::ParamDescriptor(_) => PARAM_D,
            Self::Param(_) => PARAM,
            Self::ParamSet => PARAMS,
            Self::Image => IMAGE,
            Self::InteractDescriptor => INTERACT_D,
            Self::Interact => INTERACT,
            Self::Arguments | Self::Reply => NOWHERE,
        }
    }

    fn kind(self) -> Option<ParamKind> {
        match self {
            Self::ParamDescriptor(kind) | Self::Param(kind) => Some(kind),
            _ => None,
        }
    }
}

/// Which parameters have a property.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    All,
    /// Those with a value.
    Valued,
    Numbers,
    Doubles,
    Choice,
    Text,
    Custom,
    Group,
    Page,
}

impl Of {
    fn holds(self, kind: ParamKind) -> bool {
        match self {
            Self::All => true,
            Self::Valued => kind.count() > 0,
            Self::Numbers => kind.is_number(),
            Self::Doubles => kind.is_number() && kind.of() == Type::Double,
            Self::Choice => kind == ParamKind::Choice,
            Self::Text => kind == ParamKind::String,
            Self::Custom => kind == ParamKind::Custom,
            Self::Group => kind == ParamKind::Group,
            Self::Page => kind == ParamKind::Page,
        }
    }
}

/// The type of a property; that of a parameter's values depends on the parameter.
#[derive(Clone, Copy)]
enum Typed {
    Is(Type),
    AsParameter,
}

/// How many values a property has.
#[derive(Clone, Copy)]
enum Dimension {
    Exactly(usize),
    Any,
    AsParameter,
}

/// What it is until somebody sets it.
#[derive(Clone, Copy)]
enum Initial {
    Zero,
    Int(i32),
    Double(f64),
    Text(&'static str),
    Least,
    Greatest,
}

pub(super) struct Definition {
    pub(super) name: &'static str,
    typed: Typed,
    dimension: Dimension,
    found: u16,
    written: u16,
    of: Of,
    default: Initial,
}

impl Definition {
    pub(super) fn of(&self, place: Place) -> Type {
        match self.typed {
            Typed::Is(of) => of,
            Typed::AsParameter => place.kind().map_or(Type::Double, ParamKind::of),
        }
    }

    /// 0 is any number.
    pub(super) fn dimension(&self, place: Place) -> usize {
        match self.dimension {
            Dimension::Exactly(dimension) => dimension,
            Dimension::Any => 0,
            Dimension::AsParameter => place.kind().map_or(1, ParamKind::count),
        }
    }

    pub(super) fn writable(&self, place: Place) -> bool {
        self.written & place.bit() != 0
    }

    pub(super) fn default(&self, place: Place, of: Type, dimension: usize) -> Vec<Item> {
        let item = match (self.default, of) {
            (Initial::Zero, of) => of.zero(),
            (Initial::Int(value), _) => Item::Int(value),
            (Initial::Double(value), _) => Item::Double(value),
            (Initial::Text(text), _) => Item::Text(text.to_owned()),
            (Initial::Least, Type::Int) => Item::Int(i32::MIN),
            (Initial::Least, _) => Item::Double(-f64::MAX),
            (Initial::Greatest, Type::Int) => Item::Int(i32::MAX),
            (Initial::Greatest, _) => Item::Double(f64::MAX),
        };
        // Colors lie between 0 and 1 by nature.
        let color = matches!(place.kind(), Some(ParamKind::Rgb | ParamKind::Rgba));
        let item = match (self.default, color) {
            (Initial::Least, true) => Item::Double(0.0),
            (Initial::Greatest, true) => Item::Double(1.0),
            _ => item,
        };
        vec![item; dimension]
    }
}

pub(super) fn of(place: Place) -> impl Iterator<Item = &'static Definition> {
    TABLE.iter().filter(move |definition| {
        definition.found & place.bit() != 0
            && place.kind().is_none_or(|kind| definition.of.holds(kind))
    })
}

const INT: Typed = Typed::Is(Type::Int);
const DOUBLE: Typed = Typed::Is(Type::Double);
const TEXT: Typed = Typed::Is(Type::Text);
const POINTER: Typed = Typed::Is(Type::Pointer);
const ANY: Dimension = Dimension::Any;

const fn n(dimension: usize) -> Dimension {
    Dimension::Exactly(dimension)
}

const fn row(
    name: &'static str,
    typed: Typed,
    dimension: Dimension,
    found: u16,
    written: u16,
    default: Initial,
) -> Definition {
    Definition { name, typed, dimension, found, written, of: Of::All, default }
}

/// A property of parameters, written by the plug-in in the descriptor and, often, in the instance.
const fn param(
    of: Of,
    name: &'static str,
    typed: Typed,
    dimension: Dimension,
    written: u16,
    default: Initial,
) -> Definition {
    Definition { name, typed, dimension, found: PARAM_D | PARAM, written, of, default }
}

use Initial::{Double, Greatest, Int, Least, Text, Zero};

const LABELED: u16 = EFFECT_D | EFFECT | CLIP_D | CLIP | PARAM_D | PARAM;
const LABELS_WRITTEN: u16 = EFFECT_D | CLIP_D | PARAM_D | PARAM;
const BOTH: u16 = PARAM_D | PARAM;

#[rustfmt::skip]
static TABLE: &[Definition] = &[
    // Everywhere.
    row("OfxPropType", TEXT, n(1), HOST | LABELED | IMAGE, NOWHERE, Zero),
    row("OfxPropName", TEXT, n(1), HOST | CLIP_D | CLIP | PARAM_D | PARAM, NOWHERE, Zero),
    row("OfxPropLabel", TEXT, n(1), HOST | LABELED, LABELS_WRITTEN, Zero),
    row("OfxPropShortLabel", TEXT, n(1), LABELED, LABELS_WRITTEN, Zero),
    row("OfxPropLongLabel", TEXT, n(1), LABELED, LABELS_WRITTEN, Zero),
    row("OfxPropVersion", INT, ANY, HOST | EFFECT_D, EFFECT_D, Zero),
    row("OfxPropVersionLabel", TEXT, n(1), HOST | EFFECT_D, EFFECT_D, Zero),
    row("OfxPropIcon", TEXT, n(2), EFFECT_D | PARAM_D | PARAM, EFFECT_D | PARAM_D, Zero),
    row("OfxPropPluginDescription", TEXT, n(1), EFFECT_D, EFFECT_D, Zero),
    row("OfxPropInstanceData", POINTER, n(1), EFFECT | INTERACT, EFFECT | INTERACT, Zero),
    row("OfxPropIsInteractive", INT, n(1), EFFECT, NOWHERE, Zero),

    // The host.
    row("OfxPropAPIVersion", INT, ANY, HOST, NOWHERE, Zero),
    row("OfxPropHostOSHandle", POINTER, n(1), HOST, NOWHERE, Zero),
    row("OfxImageEffectHostPropIsBackground", INT, n(1), HOST, NOWHERE, Zero),
    row("OfxImageEffectHostPropNativeOrigin", TEXT, n(1), HOST, NOWHERE, Text("kOfxImageEffectHostPropNativeOriginBottomLeft")),
    row("OfxImageEffectPropSupportsOverlays", INT, n(1), HOST, NOWHERE, Zero),
    row("OfxImageEffectPropSetableFrameRate", INT, n(1), HOST, NOWHERE, Zero),
    row("OfxImageEffectPropSetableFielding", INT, n(1), HOST, NOWHERE, Zero),
    row("OfxParamHostPropSupportsCustomAnimation", INT, n(1), HOST, NOWHERE, Zero),
    row("OfxParamHostPropSupportsStringAnimation", INT, n(1), HOST, NOWHERE, Zero),
    row("OfxParamHostPropSupportsBooleanAnimation", INT, n(1), HOST, NOWHERE, Int(1)),
    row("OfxParamHostPropSupportsChoiceAnimation", INT, n(1), HOST, NOWHERE, Int(1)),
    row("OfxParamHostPropSupportsCustomInteract", INT, n(1), HOST, NOWHERE, Zero),
    row("OfxParamHostPropSupportsStrChoice", INT, n(1), HOST, NOWHERE, Zero),
    row("OfxParamHostPropSupportsStrChoiceAnimation", INT, n(1), HOST, NOWHERE, Zero),
    row("OfxParamHostPropMaxParameters", INT, n(1), HOST, NOWHERE, Int(-1)),
    row("OfxParamHostPropMaxPages", INT, n(1), HOST, NOWHERE, Zero),
    row("OfxParamHostPropPageRowColumnCount", INT, n(2), HOST, NOWHERE, Zero),

    // Host and effect.
    row("OfxImageEffectPropSupportedContexts", TEXT, ANY, HOST | EFFECT_D, EFFECT_D, Zero),
    row("OfxImageEffectPropSupportedPixelDepths", TEXT, ANY, HOST | EFFECT_D | EFFECT, EFFECT_D, Zero),
    row("OfxImageEffectPropSupportedComponents", TEXT, ANY, HOST | CLIP_D | CLIP, CLIP_D, Zero),
    row("OfxImageEffectPropSupportsMultiResolution", INT, n(1), HOST | EFFECT_D | EFFECT, EFFECT_D, Int(1)),
    row("OfxImageEffectPropSupportsTiles", INT, n(1), HOST | EFFECT_D | EFFECT | CLIP_D | CLIP, EFFECT_D | EFFECT | CLIP_D, Int(1)),
    row("OfxImageEffectPropTemporalClipAccess", INT, n(1), HOST | EFFECT_D | EFFECT | CLIP_D | CLIP, EFFECT_D | CLIP_D, Zero),
    row("OfxImageEffectPropMultipleClipDepths", INT, n(1), HOST | EFFECT_D | EFFECT, EFFECT_D, Zero),
    row("OfxImageEffectPropSupportsMultipleClipPARs", INT, n(1), HOST | EFFECT_D | EFFECT, EFFECT_D, Zero),
    row("OfxImageEffectInstancePropSequentialRender", INT, n(1), HOST | EFFECT_D | EFFECT, EFFECT_D | EFFECT, Zero),
    row("OfxImageEffectPropRenderQualityDraft", INT, n(1), HOST, NOWHERE, Int(1)),
    row("OfxImageEffectPropOpenGLRenderSupported", TEXT, n(1), HOST | EFFECT_D, EFFECT_D, Text("false")),
    row("OfxImageEffectPropCudaRenderSupported", TEXT, n(1), HOST | EFFECT_D, EFFECT_D, Text("false")),
    row("OfxImageEffectPropCudaStreamSupported", TEXT, n(1), HOST | EFFECT_D, EFFECT_D, Text("false")),
    row("OfxImageEffectPropMetalRenderSupported", TEXT, n(1), HOST | EFFECT_D, EFFECT_D, Text("false")),
    row("OfxImageEffectPropOpenCLRenderSupported", TEXT, n(1), HOST | EFFECT_D, EFFECT_D, Text("false")),
    row("OfxImageEffectPropOpenCLSupported", TEXT, n(1), HOST | EFFECT_D, EFFECT_D, Text("false")),
    row("OfxImageEffectPropCPURenderSupported", TEXT, n(1), HOST | EFFECT_D, EFFECT_D, Text("true")),
    row("OfxImageEffectPropNoSpatialAwareness", TEXT, n(1), HOST | EFFECT_D, EFFECT_D, Text("false")),
    row("OfxImageEffectPropColourManagementStyle", TEXT, n(1), HOST | EFFECT_D | EFFECT, EFFECT_D, Text("OfxImageEffectColourManagementNone")),
    row("OfxImageEffectPropColourManagementAvailableConfigs", TEXT, ANY, HOST | EFFECT_D, EFFECT_D, Zero),

    // The effect.
    row("OfxPluginPropFilePath", TEXT, n(1), EFFECT_D | EFFECT, NOWHERE, Zero),
    row("OfxImageEffectPropContext", TEXT, n(1), EFFECT, NOWHERE, Zero),
    row("OfxImageEffectPropPluginHandle", POINTER, n(1), EFFECT, NOWHERE, Zero),
    row("OfxImageEffectPluginPropGrouping", TEXT, n(1), EFFECT_D, EFFECT_D, Zero),
    row("OfxImageEffectPluginPropSingleInstance", INT, n(1), EFFECT_D, EFFECT_D, Zero),
    row("OfxImageEffectPluginRenderThreadSafety", TEXT, n(1), EFFECT_D | EFFECT, EFFECT_D, Text("OfxImageEffectRenderInstanceSafe")),
    row("OfxImageEffectPluginPropHostFrameThreading", INT, n(1), EFFECT_D, EFFECT_D, Int(1)),
    row("OfxImageEffectPluginPropFieldRenderTwiceAlways", INT, n(1), EFFECT_D, EFFECT_D, Int(1)),
    row("OfxImageEffectPluginPropOverlayInteractV1", POINTER, n(1), EFFECT_D, EFFECT_D, Zero),
    row("OfxImageEffectPluginPropOverlayInteractV2", POINTER, n(1), EFFECT_D, EFFECT_D, Zero),
    row("OfxImageEffectPropClipPreferencesSlaveParam", TEXT, ANY, EFFECT_D | EFFECT, EFFECT_D | EFFECT, Zero),
    row("OfxOpenGLPropPixelDepth", TEXT, ANY, EFFECT_D, EFFECT_D, Zero),
    row("OfxPluginPropParamPageOrder", TEXT, ANY, EFFECT_D | PARAMS, EFFECT_D | PARAMS, Zero),
    row("OfxPropParamSetNeedsSyncing", INT, n(1), PARAMS, PARAMS, Zero),
    row("OfxImageEffectPropProjectSize", DOUBLE, n(2), EFFECT, NOWHERE, Zero),
    row("OfxImageEffectPropProjectOffset", DOUBLE, n(2), EFFECT, NOWHERE, Zero),
    row("OfxImageEffectPropProjectExtent", DOUBLE, n(2), EFFECT, NOWHERE, Zero),
    row("OfxImageEffectPropPixelAspectRatio", DOUBLE, n(1), EFFECT, NOWHERE, Double(1.0)),
    row("OfxImageEffectInstancePropEffectDuration", DOUBLE, n(1), EFFECT, NOWHERE, Zero),
    row("OfxImageEffectPropFrameRate", DOUBLE, n(1), EFFECT | CLIP, NOWHERE, Double(24.0)),
    row("OfxImageEffectPropColourManagementConfig", TEXT, n(1), EFFECT, NOWHERE, Zero),
    row("OfxImageEffectPropOCIOConfig", TEXT, n(1), EFFECT, NOWHERE, Zero),
    row("OfxImageEffectPropDisplayColourspace", TEXT, n(1), EFFECT, NOWHERE, Zero),

    // Clips.
    row("OfxImageClipPropOptional", INT, n(1), CLIP_D | CLIP, CLIP_D, Zero),
    row("OfxImageClipPropIsMask", INT, n(1), CLIP_D | CLIP, CLIP_D, Zero),
    row("OfxImageClipPropFieldExtraction", TEXT, n(1), CLIP_D | CLIP, CLIP_D, Text("OfxFieldDoubled")),
    // Natron's.
    row("OfxImageClipPropFormat", INT, n(4), CLIP, NOWHERE, Zero),
    row("OfxImageClipPropConnected", INT, n(1), CLIP, NOWHERE, Zero),
    row("OfxImageClipPropUnmappedPixelDepth", TEXT, n(1), CLIP, NOWHERE, Zero),
    row("OfxImageClipPropUnmappedComponents", TEXT, n(1), CLIP, NOWHERE, Zero),
    row("OfxImageEffectPropPixelDepth", TEXT, n(1), CLIP | IMAGE, NOWHERE, Zero),
    row("OfxImageEffectPropComponents", TEXT, n(1), CLIP | IMAGE, NOWHERE, Zero),
    row("OfxImageEffectPropPreMultiplication", TEXT, n(1), CLIP | IMAGE, NOWHERE, Text("OfxImageOpaque")),
    row("OfxImagePropPixelAspectRatio", DOUBLE, n(1), CLIP | IMAGE, NOWHERE, Double(1.0)),
    row("OfxImageEffectPropFrameRange", DOUBLE, n(2), CLIP, NOWHERE, Zero),
    row("OfxImageEffectPropUnmappedFrameRange", DOUBLE, n(2), CLIP, NOWHERE, Zero),
    row("OfxImageEffectPropUnmappedFrameRate", DOUBLE, n(1), CLIP, NOWHERE, Double(24.0)),
    row("OfxImageClipPropFieldOrder", TEXT, n(1), CLIP, NOWHERE, Text("OfxFieldNone")),
    row("OfxImageClipPropContinuousSamples", INT, n(1), CLIP, NOWHERE, Zero),
    row("OfxImageClipPropColourspace", TEXT, n(1), CLIP, NOWHERE, Zero),
    row("OfxImageClipPropPreferredColourspaces", TEXT, ANY, CLIP_D, CLIP_D, Zero),

    // Images.
    row("OfxImagePropData", POINTER, n(1), IMAGE, NOWHERE, Zero),
    row("OfxImagePropBounds", INT, n(4), IMAGE, NOWHERE, Zero),
    row("OfxImagePropRegionOfDefinition", INT, n(4), IMAGE, NOWHERE, Zero),
    row("OfxImagePropRowBytes", INT, n(1), IMAGE, NOWHERE, Zero),
    row("OfxImagePropField", TEXT, n(1), IMAGE, NOWHERE, Text("OfxFieldNone")),
    row("OfxImagePropUniqueIdentifier", TEXT, n(1), IMAGE, NOWHERE, Zero),
    row("OfxImageEffectPropRenderScale", DOUBLE, n(2), IMAGE, NOWHERE, Double(1.0)),

    // Parameters.
    param(Of::All, "OfxParamPropType", TEXT, n(1), NOWHERE, Zero),
    param(Of::All, "OfxParamPropHint", TEXT, n(1), BOTH, Zero),
    param(Of::All, "OfxParamPropScriptName", TEXT, n(1), PARAM_D, Zero),
    param(Of::All, "OfxParamPropParent", TEXT, n(1), PARAM_D, Zero),
    param(Of::All, "OfxParamPropSecret", INT, n(1), BOTH, Zero),
    param(Of::All, "OfxParamPropEnabled", INT, n(1), BOTH, Int(1)),
    param(Of::All, "OfxParamPropDataPtr", POINTER, n(1), BOTH, Zero),
    param(Of::All, "OfxParamPropInteractV1", POINTER, n(1), PARAM_D, Zero),
    param(Of::All, "OfxParamPropInteractSize", DOUBLE, n(2), NOWHERE, Zero),
    param(Of::All, "OfxParamPropInteractSizeAspect", DOUBLE, n(1), PARAM_D, Double(1.0)),
    param(Of::All, "OfxParamPropInteractMinimumSize", DOUBLE, n(2), PARAM_D, Double(10.0)),
    param(Of::All, "OfxParamPropInteractPreferedSize", INT, n(2), PARAM_D, Int(10)),
    param(Of::All, "OfxParamPropEvaluateOnChange", INT, n(1), BOTH, Int(1)),
    param(Of::All, "OfxParamPropCanUndo", INT, n(1), PARAM_D, Int(1)),
    param(Of::Valued, "OfxParamPropAnimates", INT, n(1), PARAM_D, Int(1)),
    param(Of::Valued, "OfxParamPropIsAnimating", INT, n(1), NOWHERE, Zero),
    param(Of::Valued, "OfxParamPropIsAutoKeying", INT, n(1), NOWHERE, Zero),
    param(Of::Valued, "OfxParamPropPersistant", INT, n(1), PARAM_D, Int(1)),
    param(Of::Valued, "OfxParamPropPluginMayWrite", INT, n(1), PARAM_D, Zero),
    param(Of::Valued, "OfxParamPropCacheInvalidation", TEXT, n(1), PARAM_D, Text("OfxParamInvalidateValueChange")),
    param(Of::Valued, "OfxParamPropDefault", Typed::AsParameter, Dimension::AsParameter, BOTH, Zero),
    param(Of::Numbers, "OfxParamPropMin", Typed::AsParameter, Dimension::AsParameter, BOTH, Least),
    param(Of::Numbers, "OfxParamPropMax", Typed::AsParameter, Dimension::AsParameter, BOTH, Greatest),
    param(Of::Numbers, "OfxParamPropDisplayMin", Typed::AsParameter, Dimension::AsParameter, BOTH, Least),
    param(Of::Numbers, "OfxParamPropDisplayMax", Typed::AsParameter, Dimension::AsParameter, BOTH, Greatest),
    param(Of::Numbers, "OfxParamPropDimensionLabel", TEXT, Dimension::AsParameter, PARAM_D, Zero),
    param(Of::Numbers, "OfxParamPropHasHostOverlayHandle", INT, n(1), NOWHERE, Zero),
    param(Of::Numbers, "kOfxParamPropUseHostOverlayHandle", INT, n(1), PARAM_D, Zero),
    param(Of::Doubles, "OfxParamPropIncrement", DOUBLE, n(1), BOTH, Double(1.0)),
    param(Of::Doubles, "OfxParamPropDigits", INT, n(1), BOTH, Int(2)),
    param(Of::Doubles, "OfxParamPropDoubleType", TEXT, n(1), PARAM_D, Text("OfxParamDoubleTypePlain")),
    param(Of::Doubles, "OfxParamPropDefaultCoordinateSystem", TEXT, n(1), PARAM_D, Text("OfxParamCoordinatesCanonical")),
    param(Of::Doubles, "OfxParamPropShowTimeMarker", INT, n(1), BOTH, Zero),
    param(Of::Choice, "OfxParamPropChoiceOption", TEXT, ANY, BOTH, Zero),
    param(Of::Choice, "OfxParamPropChoiceOrder", INT, ANY, PARAM_D, Zero),
    param(Of::Text, "OfxParamPropStringMode", TEXT, n(1), PARAM_D, Text("OfxParamStringIsSingleLine")),
    param(Of::Text, "OfxParamPropStringFilePathExists", INT, n(1), PARAM_D, Int(1)),
    param(Of::Custom, "OfxParamPropCustomCallbackV1", POINTER, n(1), PARAM_D, Zero),
    param(Of::Group, "OfxParamPropGroupOpen", INT, n(1), PARAM_D, Int(1)),
    param(Of::Page, "OfxParamPropPageChild", TEXT, ANY, PARAM_D, Zero),

    // Overlays.
    row("OfxPropEffectInstance", POINTER, n(1), INTERACT, NOWHERE, Zero),
    row("OfxInteractPropPixelScale", DOUBLE, n(2), INTERACT, NOWHERE, Double(1.0)),
    row("OfxInteractPropBackgroundColour", DOUBLE, n(3), INTERACT, NOWHERE, Zero),
    row("OfxInteractPropSuggestedColour", DOUBLE, n(3), INTERACT, NOWHERE, Double(1.0)),
    row("OfxInteractPropSlaveToParam", TEXT, ANY, INTERACT_D | INTERACT, INTERACT_D | INTERACT, Zero),
    row("OfxInteractPropBitDepth", INT, n(1), INTERACT_D | INTERACT, NOWHERE, Int(8)),
    row("OfxInteractPropHasAlpha", INT, n(1), INTERACT_D | INTERACT, NOWHERE, Int(1)),
    row("OfxInteractPropViewport", INT, n(2), INTERACT, NOWHERE, Zero),
];
