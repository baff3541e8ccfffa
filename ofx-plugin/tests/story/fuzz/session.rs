//! The steps of one project, from its making to its end.

use std::collections::VecDeque;

use fastrand::Rng;
use wan_alpha_take::TakeRequest;
use wan_alpha_test_host::{
    Abort, Context, Depth, Host, Node, Plugin, Profile, Project, Reason, RenderAsk, Settings,
    Source, Stride, Tiles, Value,
};

use super::{SESSION, Tally};
use crate::workshop::Workshop;

/// Parameters and what they are set to now and then.
const TEXTS: [&str; 13] = [
    "prompt",
    "negativePrompt",
    "model",
    "takeRequest",
    "takeKey",
    "heldRequest",
    "heldKey",
    "takeHistory",
    "prompt",
    "status",
    "loras",
    "image",
    "matte",
];
const CHOICES: [(&str, i32); 15] = [
    ("outside", 4),
    ("missing", 4),
    ("fit", 4),
    ("transfer", 4),
    ("alphaMode", 2),
    ("precision", 4),
    ("solver", 6),
    ("revision", 1000),
    ("view", 3),
    ("rateConversion", 3),
    ("promptTemplate", 5),
    ("history", 16),
    ("memory", 6),
    ("useSourceFrame", 1),
    ("opaqueImage", 1),
];
/// What a host without buttons shows and saves.
const SHOWN_TEXTS: [&str; 3] = ["prompt", "negativePrompt", "model"];
const ANIMATED: [&str; 4] = ["ellipseCenter", "ellipseAxes", "ellipseAngle", "mu"];

/// One project, from its making to its end.
pub(super) struct Session<'a> {
    pub(super) workshop: &'a Workshop,
    pub(super) host: &'a Host,
    pub(super) plugin: &'a Plugin,
    pub(super) profile: Profile,
    pub(super) rng: &'a mut Rng,
    pub(super) like: &'a TakeRequest,
    pub(super) stored: &'a [String],
    /// Whether it has new takes made.
    pub(super) asks: bool,
    /// Whether the engine makes them.
    pub(super) makes_takes: bool,
    pub(super) project: Project,
    pub(super) tally: &'a mut Tally,
    /// What was done last, to be read when the test fails.
    pub(super) done: VecDeque<String>,
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for done in &self.done {
                eprintln!("  {done}");
            }
        }
    }
}

impl Session<'_> {
    pub(super) fn run(mut self) {
        let waits = self.asks.then(|| self.rng.u32(..SESSION));
        for step in 0..SESSION {
            if waits == Some(step) {
                self.see_through();
            }
            self.step();
            self.nothing_is_said_twice();
        }
        for node in self.project.nodes() {
            node.clear_memory_cache();
        }
    }

    pub(super) fn note(&mut self, done: String) {
        if self.done.len() == 40 {
            self.done.pop_front();
        }
        self.done.push_back(done);
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.rng.usize(..from.len())]
    }

    fn step(&mut self) {
        let nodes = self.project.nodes();
        if nodes.is_empty() {
            let context = self.pick(&self.plugin.contexts());
            self.note(format!("add in {context:?}"));
            self.project.add(context).unwrap();
            return;
        }
        let node = nodes[self.rng.usize(..nodes.len())].clone();
        match self.rng.u32(0..1000) {
            0..300 => self.set(&node),
            300..380 => self.key(&node),
            380..430 => self.button(&node),
            430..490 => self.back_and_forth(&node),
            490..550 => self.go(),
            550..680 => self.render(&node),
            680..720 => self.view(&node),
            720..820 => self.overlay(&node),
            820..880 => self.panel(&node),
            880..940 => self.questions(&node),
            940..960 => self.change_project(),
            960..985 => self.nodes(&node, nodes.len()),
            985..993 => self.connect(&node),
            _ => self.save_and_open(),
        }
    }

    fn number(&mut self) -> f64 {
        match self.rng.u32(0..40) {
            0 => self.pick(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY]),
            1..4 => self.pick(&[1e12, -1e12, 1e-12, -0.0, 36_000.5, 6.0, -2.0]),
            _ => self.rng.f64() * 4.0 - 1.5,
        }
    }

    fn time(&mut self) -> f64 {
        match self.rng.u32(0..30) {
            0 => self.pick(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY]),
            1 => self.pick(&[1e12, -1e12, 1e9, 2_147_483_648.0, -1e9]),
            2..10 => self.rng.f64() * 70.0 - 15.0,
            _ => f64::from(self.rng.i32(-5..50)),
        }
    }

    fn text(&mut self, id: &str) -> String {
        let words = [
            "smoke",
            "",
            " ",
            "[exec rm] {x} $y",
            "\u{1f525} \u{e9} \u{202e}",
            "a\nb\tc\r",
            "\\\"'",
        ];
        match (id, self.rng.u32(0..12)) {
            ("model", 0..6) => "auto".to_owned(),
            ("model", 6..8) => "../../x".to_owned(),
            ("takeRequest" | "heldRequest", 0..7) => {
                self.stored[self.rng.usize(..self.stored.len())].clone()
            }
            ("takeRequest" | "heldRequest", 7) => {
                // Of a take that nobody makes, in any session that asks for none.
                let first = if self.asks { 3_000_000 } else { 1_000_000 };
                let seed = self.rng.u32(first..first + 4);
                TakeRequest { seed, ..self.like.clone() }.to_parameter()
            }
            ("takeRequest" | "heldRequest", 8) => {
                let mut text = self.stored[0].clone();
                text.truncate(self.rng.usize(..text.len()));
                text
            }
            (_, 11) => "long ".repeat(self.rng.usize(..3000)),
            _ => self.pick(&words).to_owned(),
        }
    }

    fn set(&mut self, node: &Node) {
        let (id, value): (&str, Value) = match self.rng.u32(0..20) {
            0..5 => {
                let hides = self.profile.instance_per_frame;
                let id = if hides { self.pick(&SHOWN_TEXTS) } else { self.pick(&TEXTS) };
                (id, self.text(id).into())
            }
            5 if self.profile.instance_per_frame => ("timelineRate", self.number().into()),
            6 if self.profile.instance_per_frame => ("overSource", self.rng.i32(-1..=2).into()),
            5..10 => {
                let (id, many) = self.pick(&CHOICES);
                (id, self.rng.i32(-1..=many).into())
            }
            10..13 => {
                let id = self.pick(&ANIMATED);
                (id, self.animated(id))
            }
            13 => ("seed", self.pick(&[0, 1, 2, 3, -1, i32::MAX, i32::MIN]).into()),
            14 => ("frames", self.pick(&[0, 1, 2, 5, 9, 13, -5]).into()),
            15 => ("startFrame", self.pick(&[0, 1, -7, 20, i32::MAX, i32::MIN]).into()),
            16 => ("speed", self.number().into()),
            17 => {
                let id = self.pick(&["guidance", "shift"]);
                (id, self.number().into())
            }
            18 => ("steps", self.pick(&[0, 1, 4, 100, -3, i32::MAX]).into()),
            _ => {
                let id = self.pick(&["width", "height", "resolution"]);
                // What is made here is small.
                (id, self.pick(&if id == "resolution" { [0, 7, 7] } else { [0, 64, 72] }).into())
            }
        };
        self.note(format!("{}: {id} = {}", node.name(), brief(&value.to_string())));
        node.set(id, value);
        if self.rng.u32(0..20) == 0 {
            node.reset(id);
        }
    }

    fn animated(&mut self, id: &str) -> Value {
        if id.starts_with("ellipseC") || id.starts_with("ellipseAx") {
            [self.number(), self.number()].into()
        } else {
            self.number().into()
        }
    }

    fn key(&mut self, node: &Node) {
        let id = self.pick(&ANIMATED);
        let time = self.pick(&[-3.0, 0.0, 1.0, 7.5, 12.0, 40.0, 1e6]);
        self.note(format!("{}: key of {id} at {time}", node.name()));
        match self.rng.u32(0..8) {
            0 => node.delete_keys(id),
            1 | 2 => node.delete_key(id, time),
            _ => {
                let value = self.animated(id);
                node.key(id, time, value);
            }
        }
    }

    fn back_and_forth(&mut self, node: &Node) {
        let forth = self.rng.u32(0..3) == 0;
        let step = if forth { node.redo() } else { node.undo() };
        self.tally.undone += u32::from(step.is_some());
        self.note(format!("{}: {} {step:?}", node.name(), if forth { "redo" } else { "undo" }));
    }

    fn go(&mut self) {
        let time = self.time();
        self.note(format!("go to {time}"));
        self.project.go_to(time);
    }

    /// What an engine does changes pictures at any moment.
    fn world_may_change(&mut self) {
        if self.asks {
            self.host.world_changed();
        }
    }

    fn render(&mut self, node: &Node) {
        let depths = self.plugin.properties().texts("OfxImageEffectPropSupportedPixelDepths");
        let depths: Vec<Depth> = self
            .profile
            .depths
            .iter()
            .copied()
            .filter(|depth| depths.iter().any(|name| name == depth.name()))
            .collect();
        let depth = self.pick(&depths);
        let scales = self.profile.render_scales.clone();
        let scale = self.pick(&scales);
        let (x, y) = (self.rng.i32(-20..40), self.rng.i32(-20..30));
        let [width, height] = [self.rng.i32(1..50), self.rng.i32(1..30)];
        let around = [x, y, x + width, y + height];
        let size = [self.rng.i32(1..40), self.rng.i32(1..20)];
        let padding = self.rng.usize(0..40);
        let tiles = match self.rng.u32(0..4) {
            _ if !self.profile.tiles => Tiles::Whole,
            0 => Tiles::Separate(size),
            1 => Tiles::Shared(size),
            _ => Tiles::Whole,
        };
        let ask = RenderAsk {
            scale: if self.rng.u32(0..10) == 0 { [scale, 1.0] } else { [scale; 2] },
            depth,
            bounds: (self.profile.multi_resolution && self.rng.u32(0..5) == 0).then_some(around),
            window: (self.profile.tiles && self.rng.u32(0..3) == 0).then_some(around),
            stride: self.pick(&[
                Stride::Packed,
                Stride::Negative,
                Stride::Padded(padding),
                Stride::NegativePadded(padding),
                Stride::odd(depth),
            ]),
            tiles,
            threads: self.rng.usize(1..4),
            abort: match self.rng.u32(0..8) {
                0 => Abort::AfterPolls(self.rng.u32(0..3)),
                _ => Abort::Never,
            },
            interactive: self.rng.bool(),
            draft: self.rng.bool(),
            thumbnail: self.rng.u32(0..6) == 0,
            remembered: !self.asks,
            ..RenderAsk::at(self.time())
        };
        self.note(format!("{}: {ask:?}", node.name()));
        self.world_may_change();
        self.tally.pictures += u32::from(node.render(&ask).picture().is_some());
    }

    fn view(&mut self, node: &Node) {
        let time = self.time();
        let scales = self.profile.render_scales.clone();
        let scale = self.pick(&scales);
        self.note(format!("{}: view {time} at {scale}", node.name()));
        self.world_may_change();
        if self.rng.u32(0..4) == 0 {
            let _ = node.thumbnail(time, scale);
        } else {
            let _ = node.view_scaled(time, scale);
        }
    }

    fn overlay(&mut self, node: &Node) {
        let Some(overlay) = node.overlay() else { return };
        overlay.zoom(self.pick(&[1.0, 0.25, 3.0, 1e-3, 1e6, 0.0, f64::NAN]));
        let at = |session: &mut Self| match session.rng.u32(0..20) {
            0 => [session.number(), session.number()],
            _ => [session.rng.f64() * 60.0 - 10.0, session.rng.f64() * 40.0 - 10.0],
        };
        for _ in 0..self.rng.u32(1..4) {
            let place = at(self);
            let what = self.rng.u32(0..9);
            self.note(format!("{}: overlay {what} at {place:?}", node.name()));
            let key = self.pick(&[0xff1b, 0xffe1, 0xffe2, 0xffe3, 0x61, 0, -1]);
            let types = self.pick(&["", "a", "\u{1b}", "\u{1f525}"]);
            match what {
                0 | 1 => overlay.pen_down(place),
                2 => overlay.pen_motion(place),
                3 => overlay.pen_up(place),
                4 => overlay.key_down(key, types),
                5 => overlay.key_repeat(key, types),
                6 => overlay.key_up(key, types),
                7 if self.rng.bool() => overlay.gain_focus(),
                7 => overlay.lose_focus(),
                _ => overlay.draw().strokes.is_empty(),
            };
        }
    }

    fn panel(&mut self, node: &Node) {
        let what = self.rng.u32(0..8);
        self.note(format!("{}: panel {what}", node.name()));
        match what {
            0..3 => node.open_panel(),
            3 | 4 => node.close_panel(),
            5 => node.sync(),
            6 => node.purge(),
            _ => node.rebuild(),
        }
    }

    fn questions(&mut self, node: &Node) {
        let (what, time) = (self.rng.u32(0..9), self.time());
        self.note(format!("{}: question {what} at {time}", node.name()));
        match what {
            0 => drop(node.region(time)),
            1 => drop(node.regions_of_interest(time, [0.0, -3.0, 20.0, 1e7])),
            2 => drop(node.frames_needed(time)),
            3 => drop(node.identity(time, [0, 0, 9, 9])),
            4 => drop(node.time_domain()),
            5 => drop(node.preferences()),
            6 => drop(node.action(self.pick(&[
                "OfxActionNonsense",
                "",
                "\u{1f525}",
                "OfxActionDescribe2",
            ]))),
            7 => drop(self.plugin.raw_action(Some("OfxActionNonsense"))),
            _ => {
                let names = ["nothing", "prompt", "takeRequest", "ellipseCenter", "Source", ""];
                let reason = self.pick(&[Reason::UserEdited, Reason::PluginEdited, Reason::Time]);
                let _ = node.changed(self.pick(&names), reason, time);
            }
        }
    }

    fn change_project(&mut self) {
        let settings = Settings {
            size: self.pick(&[[32.0, 18.0], [1.0, 1.0], [48.0, 27.0], [33.0, 7.0]]),
            offset: if self.profile.multi_resolution {
                self.pick(&[[0.0; 2], [-5.0, 3.0]])
            } else {
                [0.0; 2]
            },
            pixel_aspect: self.pick(&[1.0, 2.0, 0.5]),
            frame_rate: self.pick(&[24.0, 25.0, 0.0, 1e-3, 1e9]),
            timeline: self.pick(&[[1.0, 40.0], [0.0, 0.0], [-100.0, -50.0], [1001.0, 1100.0]]),
        };
        self.note(format!("{settings:?}"));
        self.project.set_settings(settings);
    }

    fn nodes(&mut self, node: &Node, count: usize) {
        match self.rng.u32(0..3) {
            0 if count < 5 => {
                self.note(format!("duplicate {}", node.name()));
                self.project.duplicate(node).unwrap();
            }
            1 if count < 5 => {
                let context = self.pick(&self.plugin.contexts());
                self.note(format!("add in {context:?}"));
                self.project.add(context).unwrap();
            }
            _ => {
                self.note(format!("delete {}", node.name()));
                node.delete();
            }
        }
    }

    fn connect(&mut self, node: &Node) {
        if node.context() == Context::Generator {
            return;
        }
        let region =
            self.pick(&[[0.0, 0.0, 20.0, 10.0], [-5.0, -7.0, 3.0, 60.0], [4.0, 4.0, 4.0, 4.0]]);
        self.note(format!("{}: Source over {region:?}", node.name()));
        if self.rng.bool() {
            node.connect("Source", Source::over(region));
        } else {
            node.disconnect("Source");
        }
    }

    /// As on the next day. What holds no number cannot be saved as one: such a project is given up.
    fn save_and_open(&mut self) {
        self.note("save and open".to_owned());
        self.project.go_to(7.0);
        let path = self.workshop.at("fuzz.json");
        self.project.save(&path);
        match self.plugin.open(&path) {
            Ok(project) => {
                self.tally.opened += 1;
                self.project = project;
            }
            Err(error) => self.note(format!("not opened: {error}")),
        }
    }
}

fn brief(text: &str) -> String {
    text.chars().take(60).collect()
}
