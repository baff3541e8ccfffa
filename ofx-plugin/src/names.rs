//! Names of OpenFX as C strings: from the headers where these have them, ours where they are newer.

use std::ffi::CStr;

#[expect(clippy::panic, reason = "evaluated while compiling only")]
const fn from_header(bytes: &[u8]) -> &CStr {
    match CStr::from_bytes_with_nul(bytes) {
        Ok(name) => name,
        Err(_) => panic!("a name in the headers does not end in NUL"),
    }
}

macro_rules! from_headers {
    ($($name:ident = $source:ident;)+) => {
        $(pub(crate) const $name: &CStr = from_header(openfx_sys::$source);)+
    };
}

from_headers! {
    API = kOfxImageEffectPluginApi;

    SUITE_PROPERTY = kOfxPropertySuite;
    SUITE_EFFECT = kOfxImageEffectSuite;
    SUITE_PARAMETER = kOfxParameterSuite;
    SUITE_MESSAGE = kOfxMessageSuite;
    SUITE_PROGRESS = kOfxProgressSuite;
    SUITE_TIMELINE = kOfxTimeLineSuite;
    SUITE_INTERACT = kOfxInteractSuite;
    SUITE_DRAW = kOfxDrawSuite;

    ACTION_LOAD = kOfxActionLoad;
    ACTION_UNLOAD = kOfxActionUnload;
    ACTION_DESCRIBE = kOfxActionDescribe;
    ACTION_DESCRIBE_IN_CONTEXT = kOfxImageEffectActionDescribeInContext;
    ACTION_CREATE = kOfxActionCreateInstance;
    ACTION_DESTROY = kOfxActionDestroyInstance;
    ACTION_CHANGED = kOfxActionInstanceChanged;
    ACTION_REGION_OF_DEFINITION = kOfxImageEffectActionGetRegionOfDefinition;
    ACTION_REGIONS_OF_INTEREST = kOfxImageEffectActionGetRegionsOfInterest;
    ACTION_CLIP_PREFERENCES = kOfxImageEffectActionGetClipPreferences;
    ACTION_RENDER = kOfxImageEffectActionRender;
    ACTION_BEGIN_SEQUENCE_RENDER = kOfxImageEffectActionBeginSequenceRender;
    ACTION_END_SEQUENCE_RENDER = kOfxImageEffectActionEndSequenceRender;
    IS_INTERACTIVE = kOfxPropIsInteractive;
    ACTION_TIME_DOMAIN = kOfxImageEffectActionGetTimeDomain;
    ACTION_END_CHANGED = kOfxActionEndInstanceChanged;
    ACTION_BEGIN_EDIT = kOfxActionBeginInstanceEdit;

    OVERLAY_V1 = kOfxImageEffectPluginPropOverlayInteractV1;
    OVERLAY_V2 = kOfxImageEffectPluginPropOverlayInteractV2;
    ACTION_DRAW = kOfxInteractActionDraw;
    ACTION_PEN_MOTION = kOfxInteractActionPenMotion;
    ACTION_PEN_DOWN = kOfxInteractActionPenDown;
    ACTION_PEN_UP = kOfxInteractActionPenUp;
    ACTION_KEY_DOWN = kOfxInteractActionKeyDown;
    ACTION_KEY_UP = kOfxInteractActionKeyUp;
    ACTION_GAIN_FOCUS = kOfxInteractActionGainFocus;
    ACTION_LOSE_FOCUS = kOfxInteractActionLoseFocus;
    EFFECT_INSTANCE = kOfxPropEffectInstance;
    DRAW_CONTEXT = kOfxInteractPropDrawContext;
    PIXEL_SCALE = kOfxInteractPropPixelScale;
    SUGGESTED_COLOR = kOfxInteractPropSuggestedColour;
    SLAVE_TO_PARAM = kOfxInteractPropSlaveToParam;
    PEN_POSITION = kOfxInteractPropPenPosition;
    KEY_SYMBOL = kOfxPropKeySym;

    NAME = kOfxPropName;
    TYPE = kOfxPropType;
    TIME = kOfxPropTime;
    LABEL = kOfxPropLabel;
    SHORT_LABEL = kOfxPropShortLabel;
    LONG_LABEL = kOfxPropLongLabel;
    VERSION_LABEL = kOfxPropVersionLabel;
    DESCRIPTION = kOfxPropPluginDescription;
    INSTANCE_DATA = kOfxPropInstanceData;
    CHANGE_REASON = kOfxPropChangeReason;
    USER_EDITED = kOfxChangeUserEdited;
    TIME_CHANGED = kOfxChangeTime;
    VERSION = kOfxPropVersion;
    PLUGIN_EDITED = kOfxChangePluginEdited;
    TYPE_PARAMETER = kOfxTypeParameter;

    CONTEXT = kOfxImageEffectPropContext;
    CONTEXT_GENERATOR = kOfxImageEffectContextGenerator;
    CONTEXT_GENERAL = kOfxImageEffectContextGeneral;
    CONTEXT_FILTER = kOfxImageEffectContextFilter;
    SUPPORTED_CONTEXTS = kOfxImageEffectPropSupportedContexts;
    SUPPORTED_DEPTHS = kOfxImageEffectPropSupportedPixelDepths;
    DEPTH_BYTE = kOfxBitDepthByte;
    DEPTH_SHORT = kOfxBitDepthShort;
    DEPTH_HALF = kOfxBitDepthHalf;
    DEPTH_FLOAT = kOfxBitDepthFloat;
    SUPPORTED_COMPONENTS = kOfxImageEffectPropSupportedComponents;
    RGBA = kOfxImageComponentRGBA;
    GROUPING = kOfxImageEffectPluginPropGrouping;
    TILES = kOfxImageEffectPropSupportsTiles;
    MULTI_RESOLUTION = kOfxImageEffectPropSupportsMultiResolution;
    TEMPORAL_ACCESS = kOfxImageEffectPropTemporalClipAccess;
    THREAD_SAFETY = kOfxImageEffectPluginRenderThreadSafety;
    FULLY_SAFE = kOfxImageEffectRenderFullySafe;
    HOST_FRAME_THREADING = kOfxImageEffectPluginPropHostFrameThreading;
    SINGLE_INSTANCE = kOfxImageEffectPluginPropSingleInstance;
    FIELD_RENDER_TWICE = kOfxImageEffectPluginPropFieldRenderTwiceAlways;
    MULTIPLE_DEPTHS = kOfxImageEffectPropSupportsMultipleClipDepths;
    MULTIPLE_ASPECTS = kOfxImageEffectPropSupportsMultipleClipPARs;
    SEQUENTIAL_RENDER = kOfxImageEffectInstancePropSequentialRender;
    PREFERENCES_SLAVE = kOfxImageEffectPropClipPreferencesSlaveParam;

    CLIP_OUTPUT = kOfxImageEffectOutputClipName;
    CLIP_SOURCE = kOfxImageEffectSimpleSourceClipName;
    CLIP_OPTIONAL = kOfxImageClipPropOptional;
    CLIP_CONNECTED = kOfxImageClipPropConnected;
    CLIP_MASK = kOfxImageClipPropIsMask;
    FIELD_EXTRACTION = kOfxImageClipPropFieldExtraction;
    FIELD_SINGLE = kOfxImageFieldSingle;

    REGION_OF_DEFINITION = kOfxImageEffectPropRegionOfDefinition;
    REGION_OF_INTEREST = kOfxImageEffectPropRegionOfInterest;
    PROJECT_SIZE = kOfxImageEffectPropProjectSize;
    PROJECT_OFFSET = kOfxImageEffectPropProjectOffset;
    FRAME_RANGE = kOfxImageEffectPropFrameRange;
    FRAME_RATE = kOfxImageEffectPropFrameRate;
    PIXEL_ASPECT = kOfxImagePropPixelAspectRatio;
    RENDER_WINDOW = kOfxImageEffectPropRenderWindow;
    RENDER_SCALE = kOfxImageEffectPropRenderScale;
    IS_BACKGROUND = kOfxImageEffectHostPropIsBackground;
    PREMULTIPLICATION = kOfxImageEffectPropPreMultiplication;
    PREMULTIPLIED = kOfxImagePreMultiplied;
    STRAIGHT = kOfxImageUnPreMultiplied;
    OPAQUE = kOfxImageOpaque;
    FRAME_VARYING = kOfxImageEffectFrameVarying;
    CONTINUOUS_SAMPLES = kOfxImageClipPropContinuousSamples;

    IMAGE_DATA = kOfxImagePropData;
    IMAGE_BOUNDS = kOfxImagePropBounds;
    IMAGE_ROW_BYTES = kOfxImagePropRowBytes;
    PIXEL_DEPTH = kOfxImageEffectPropPixelDepth;
    COMPONENTS = kOfxImageEffectPropComponents;

    PARAM_GROUP = kOfxParamTypeGroup;
    PARAM_PAGE = kOfxParamTypePage;
    PARAM_STRING = kOfxParamTypeString;
    PARAM_INTEGER = kOfxParamTypeInteger;
    PARAM_DOUBLE = kOfxParamTypeDouble;
    PARAM_DOUBLE_2D = kOfxParamTypeDouble2D;
    PARAM_CHOICE = kOfxParamTypeChoice;
    PARAM_BUTTON = kOfxParamTypePushButton;
    PARAM_BOOLEAN = kOfxParamTypeBoolean;
    SCRIPT_NAME = kOfxParamPropScriptName;
    HINT = kOfxParamPropHint;
    PARENT = kOfxParamPropParent;
    GROUP_OPEN = kOfxParamPropGroupOpen;
    PAGE_CHILD = kOfxParamPropPageChild;
    ANIMATES = kOfxParamPropAnimates;
    PERSISTENT = kOfxParamPropPersistant;
    EVALUATE_ON_CHANGE = kOfxParamPropEvaluateOnChange;
    CAN_UNDO = kOfxParamPropCanUndo;
    SECRET = kOfxParamPropSecret;
    ENABLED = kOfxParamPropEnabled;
    CACHE_INVALIDATION = kOfxParamPropCacheInvalidation;
    INVALIDATE_ALL = kOfxParamInvalidateAll;
    DEFAULT = kOfxParamPropDefault;
    MIN = kOfxParamPropMin;
    MAX = kOfxParamPropMax;
    DISPLAY_MIN = kOfxParamPropDisplayMin;
    DISPLAY_MAX = kOfxParamPropDisplayMax;
    INCREMENT = kOfxParamPropIncrement;
    DIGITS = kOfxParamPropDigits;
    IS_ANIMATING = kOfxParamPropIsAnimating;
    DOUBLE_TYPE = kOfxParamPropDoubleType;
    DOUBLE_PLAIN = kOfxParamDoubleTypePlain;
    DOUBLE_ANGLE = kOfxParamDoubleTypeAngle;
    DEFAULT_COORDINATES = kOfxParamPropDefaultCoordinateSystem;
    CANONICAL = kOfxParamCoordinatesCanonical;
    CHOICE_OPTION = kOfxParamPropChoiceOption;
    STRING_MODE = kOfxParamPropStringMode;
    SINGLE_LINE = kOfxParamStringIsSingleLine;
    MULTI_LINE = kOfxParamStringIsMultiLine;
    FILE_PATH = kOfxParamStringIsFilePath;

    MESSAGE_ERROR = kOfxMessageError;
    MESSAGE_WARNING = kOfxMessageWarning;
    MESSAGE_MESSAGE = kOfxMessageMessage;
}

/// OpenFX 1.5: "true" for an effect that may be baked into a color table; ours draws in space.
pub(crate) const NO_SPATIAL_AWARENESS: &CStr = c"OfxImageEffectPropNoSpatialAwareness";

/// OpenFX 1.5.1, of a render: 1 where it is for a thumbnail.
pub(crate) const THUMBNAIL_RENDER: &CStr = c"OfxImageEffectPropThumbnailRender";

/// OpenFX 1.5: how host and plug-in manage colors, of either and of an instance.
pub(crate) const COLOR_STYLE: &CStr = c"OfxImageEffectPropColourManagementStyle";

/// OpenFX 1.5: the configurations whose names of color spaces are known.
pub(crate) const COLOR_CONFIGURATIONS: &CStr =
    c"OfxImageEffectPropColourManagementAvailableConfigs";

/// OpenFX 1.5: the color space of a clip.
pub(crate) const CLIP_COLOR_SPACE: &CStr = c"OfxImageClipPropColourspace";

/// OpenFX 1.5: asks for the color space of the output.
pub(crate) const ACTION_OUTPUT_COLOR_SPACE: &CStr = c"OfxImageEffectActionGetOutputColourspace";

/// What MLT calls itself, which Kdenlive, Shotcut and Flowblade use.
pub(crate) const MLT: &str = "MLT";

/// Natron's: the format of what is connected to a clip, in pixels: left, bottom, right, top.
pub(crate) const CLIP_FORMAT: &CStr = c"OfxImageClipPropFormat";

/// A property of `GetRegionsOfInterest`, named after the clip.
pub(crate) const SOURCE_REGION_OF_INTEREST: &CStr = c"OfxImageClipPropRoI_Source";

/// A property of `GetClipPreferences`, named after the clip.
pub(crate) const OUTPUT_COMPONENTS: &CStr = c"OfxImageClipPropComponents_Output";
