//! One picture, however a host asks for it.

use wan_alpha_take::store::Take;
use wan_alpha_test_host::{
    Context, Depth, Image, Node, Plugin, Profile, RenderAsk, Settings, Source, Status, Stride,
    Tiles,
};

use crate::drawn::{draw, is_rounded, linear, rounding, show, time_of, wanted};
use crate::workshop::{FRAMES, SIZE, Workshop, alone};

/// A project that the takes here fit into by 2.25, with 24 pixels left and right of them.
const PROJECT: [f64; 2] = [192.0, 108.0];
const FACTOR: f64 = 2.25;
const LEFT: f64 = 24.0;

/// The frame that is looked at.
const FRAME: u32 = 5;

alone! {
    fn in_nuke(workshop) { one_picture(workshop, Profile::nuke()) }
    fn in_resolve(workshop) { one_picture(workshop, Profile::resolve()) }
    fn in_natron(workshop) { one_picture(workshop, Profile::natron()) }
    fn in_a_host_that_has_everything(workshop) { one_picture(workshop, Profile::plain()) }
}

/// Nothing of it is the same when it is turned, mirrored or stood on its head.
fn asymmetric(frame: u32, u: f32, v: f32) -> [f32; 4] {
    let alpha = match (u < 0.3 && v > 0.6, v < 0.25) {
        (true, _) => 0.0,
        (_, true) => 0.5,
        _ => 1.0,
    };
    [0.1 + 0.8 * u, 0.1 + 0.8 * v, frame as f32 / 8.0, alpha]
}

/// In every context, depth, scale, cut, stride and alpha mode that the host has.
fn one_picture(workshop: &Workshop, profile: Profile) {
    let profile = profile.sized(PROJECT[0], PROJECT[1]);
    let (host, plugin) = workshop.load(profile.clone());
    let mut of_contexts: Vec<Vec<Image>> = Vec::new();
    for context in plugin.contexts() {
        let project = plugin.project();
        let node = project.add(context).unwrap();
        let like = wanted(workshop, &node);
        let take = draw(workshop, &like, 7, SIZE, &asymmetric);
        show(&node, &take);
        node.set("fit", 0);
        node.set("transfer", 0);
        let is_linear = ["nuke", "Natron"].iter().any(|name| profile.name.ends_with(name));
        let mut references = Vec::new();
        for straight in [false, true] {
            node.set("alphaMode", i32::from(straight));
            for &scale in &profile.render_scales {
                let reference = of_scale(&node, &plugin, &profile, scale);
                stands(&reference, scale, is_linear, straight);
                references.push(reference);
            }
        }
        let (premultiplied, straight) = references.split_at(profile.render_scales.len());
        for (premultiplied, straight) in premultiplied.iter().zip(straight) {
            multiplied_is_multiplied(premultiplied, straight);
        }
        let scales = profile.render_scales.iter().zip(premultiplied);
        scales.skip(1).for_each(|(scale, image)| reduced(image, &premultiplied[0], *scale));
        as_viewed(&node, &profile);
        of_contexts.push(references);
    }
    assert!(of_contexts.windows(2).all(|pair| pair[0] == pair[1]), "contexts differ");
    host.check();
}

/// All renders at one scale are one picture, which is returned.
fn of_scale(node: &Node, plugin: &Plugin, profile: &Profile, scale: f64) -> Image {
    let ask = RenderAsk::at(time_of(node, FRAME)).scaled(scale);
    let reference = node.render(&ask).image().clone();
    let offered = plugin.properties().texts("OfxImageEffectPropSupportedPixelDepths");
    for &depth in profile.depths.iter().filter(|depth| offered.contains(&depth.name().to_owned())) {
        let ask = ask.clone().in_depth(depth);
        let whole = node.render(&ask).image().clone();
        assert!(is_rounded(&whole, &reference), "{depth:?} at {scale} is another picture");
        let strides = [
            Stride::Packed,
            Stride::Padded(64),
            Stride::odd(depth),
            Stride::Negative,
            Stride::NegativePadded(4 * depth.bytes()),
            Stride::NegativePadded(depth.bytes()),
        ];
        for stride in strides {
            for (tiles, threads) in tilings(profile) {
                let ask = ask.clone().with_stride(stride).in_tiles(tiles).on_threads(threads);
                let found = node.render(&ask);
                assert!(
                    *found.image() == whole,
                    "{depth:?} at {scale}, {stride:?}, {tiles:?}, {threads} threads"
                );
            }
        }
        if profile.multi_resolution {
            reaching_beyond(node, &ask, &whole);
        }
    }
    reference
}

fn tilings(profile: &Profile) -> Vec<(Tiles, usize)> {
    if !profile.tiles {
        return vec![(Tiles::Whole, 1)];
    }
    vec![
        (Tiles::Whole, 1),
        (Tiles::Separate([256, 256]), 1),
        (Tiles::Separate([37, 23]), 3),
        (Tiles::Shared([i32::MAX, 16]), 1),
        (Tiles::Shared([50, 31]), 4),
    ]
}

/// An image larger than the frame, and one smaller: the frame is where it is, and around it nothing.
fn reaching_beyond(node: &Node, ask: &RenderAsk, whole: &Image) {
    let [left, bottom, right, top] = whole.bounds();
    let around = [left - 9, bottom - 5, right + 7, top + 3];
    let larger = node.render(&RenderAsk { bounds: Some(around), ..ask.clone() });
    assert!(larger.image().crop(whole.bounds()) == *whole, "{ask:?}");
    for y in around[1]..around[3] {
        for x in (around[0]..around[2])
            .filter(|x| !(left..right).contains(x) || !(bottom..top).contains(&y))
        {
            assert_eq!(larger.pixel(x, y), [0.0; 4], "({x}, {y})");
        }
    }
    let within = [left + 3, bottom + 2, right - 1, top - 4];
    let smaller = node.render(&RenderAsk { bounds: Some(within), ..ask.clone() });
    assert!(*smaller.image() == whole.crop(within), "{ask:?}");
}

/// Right side up, and in the colors that the host works in.
fn stands(image: &Image, scale: f64, is_linear: bool, straight: bool) {
    for at in [[0.5, 0.5], [0.85, 0.85], [0.15, 0.8], [0.85, 0.125], [0.15, 0.4], [0.15, 0.125]] {
        let place = [(LEFT + (PROJECT[0] - 2.0 * LEFT) * at[0]), PROJECT[1] * at[1]];
        let [x, y] = place.map(|place| (place * scale).floor() as i32);
        let [u, v] = [
            ((f64::from(x) + 0.5) / scale - LEFT) / (FACTOR * f64::from(SIZE[0])),
            (f64::from(y) + 0.5) / scale / (FACTOR * f64::from(SIZE[1])),
        ];
        let [r, g, b, alpha] = asymmetric(FRAME, u as f32, v as f32);
        let color = if is_linear { [r, g, b].map(linear) } else { [r, g, b] };
        let by = if straight { f32::from(u8::from(alpha > 0.0)) } else { alpha };
        let expected = [color[0] * by, color[1] * by, color[2] * by, alpha];
        let found = image.pixel(x, y);
        for (found, expected) in found.into_iter().zip(expected) {
            assert!(
                (found - expected).abs() < 3e-3,
                "{found} instead of {expected} at {at:?}, scale {scale}"
            );
        }
    }
}

fn multiplied_is_multiplied(premultiplied: &Image, straight: &Image) {
    for (premultiplied, straight) in premultiplied.pixels().zip(straight.pixels()) {
        let [r, g, b, alpha] = straight;
        let expected = [r * alpha, g * alpha, b * alpha, alpha];
        let is_it = premultiplied.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(is_it, "{premultiplied:?} and {straight:?}");
    }
}

/// At another scale the same is in the same place.
fn reduced(image: &Image, full: &Image, scale: f64) {
    // Sums of each component, and of alpha by place, in units of the full picture.
    let measured = |image: &Image, scale: f64| {
        let [left, bottom, ..] = image.bounds();
        let mut sums = [0.0; 6];
        for (at, pixel) in image.pixels().enumerate() {
            let x = (f64::from(left) + (at % image.width()) as f64 + 0.5) / scale;
            let y = (f64::from(bottom) + (at / image.width()) as f64 + 0.5) / scale;
            let [r, g, b, alpha] = pixel.map(f64::from);
            for (sum, value) in sums.iter_mut().zip([r, g, b, alpha, x * alpha, y * alpha]) {
                *sum += value / (scale * scale);
            }
        }
        [sums[0], sums[1], sums[2], sums[3], sums[4] / sums[3], sums[5] / sums[3]]
    };
    let (found, expected) = (measured(image, scale), measured(full, 1.0));
    for (found, expected) in found[..4].iter().zip(&expected[..4]) {
        assert!((found / expected - 1.0).abs() < 0.03, "{found} and {expected} at {scale}");
    }
    for (found, expected) in found[4..].iter().zip(&expected[4..]) {
        assert!((found - expected).abs() < 0.5, "center {found} and {expected} at {scale}");
    }
}

/// What the viewer shows is the same picture, in the tiles and depth of this host.
fn as_viewed(node: &Node, profile: &Profile) {
    let time = time_of(node, FRAME);
    for &scale in &profile.render_scales {
        let viewed = node.view_scaled(time, scale);
        let viewed = viewed.image();
        let ask = RenderAsk::at(time).scaled(scale).in_depth(viewed.depth());
        assert!(*viewed == *node.render(&ask).image(), "at {scale}");
    }
}

alone! {
    fn a_source_is_the_frame_and_its_pixels_are_not_read(workshop) {
        let (_host, plugin) = workshop.load(Profile::plain().sized(300.0, 200.0));
        let project = plugin.project();
        let node = project.add(Context::General).unwrap();
        let like = wanted(workshop, &node);
        show(&node, &draw(workshop, &like, 7, SIZE, &asymmetric));
        let time = time_of(&node, FRAME);
        let square = [40.0, 20.0, 168.0, 116.0];
        for (region, aspect) in [(square, 1.0), ([-10.0, -6.0, 182.0, 90.0], 1.0), (square, 2.0)] {
            project.set_settings(Settings {
                pixel_aspect: aspect,
                ..project.settings()
            });
            let [x1, y1, x2, y2] = region.map(|edge| edge as i32);
            let across = aspect as i32;
            let format = [x1 / across, y1, x2 / across, y2];
            let plate = Source::over([1.0, 2.0, 33.0, 44.0]).with_pixel_aspect(aspect);
            node.connect("Source", plate.with_format(format));
            assert_eq!(node.region(time), (Status::OK, region));
            let (_, wanted) = node.regions_of_interest(time, region);
            let [x1, y1, x2, y2] = wanted[0].1;
            assert!(x1 == x2 && y1 == y2, "{wanted:?}");
            node.set("fit", 2);
            let stretched = node.render(&RenderAsk::at(time));
            let [left, bottom, right, top] = stretched.image().bounds();
            let pixels = [region[0] / aspect, region[1], region[2] / aspect, region[3]];
            assert_eq!([left, bottom, right, top].map(f64::from), pixels);
            for at in [[0.5, 0.5], [0.85, 0.85], [0.15, 0.8], [0.85, 0.125], [0.15, 0.125]] {
                let x = left + (f64::from(right - left) * at[0]) as i32;
                let y = bottom + (f64::from(top - bottom) * at[1]) as i32;
                let u = (f64::from(x - left) + 0.5) / f64::from(right - left);
                let v = (f64::from(y - bottom) + 0.5) / f64::from(top - bottom);
                let [r, g, b, alpha] = asymmetric(FRAME, u as f32, v as f32);
                let found = stretched.pixel(x, y);
                for (found, exact) in found.into_iter().zip([r * alpha, g * alpha, b * alpha, alpha]) {
                    assert!((found - exact).abs() < 3e-3, "{found} is not {exact} at {at:?}");
                }
            }
            // Whole, it keeps its shape: 4 to 3 on the screen, in pixels of this aspect.
            node.set("fit", 0);
            let fitted = node.render(&RenderAsk::at(time));
            let row = (bottom + top) / 2;
            let column = (left + right) / 2;
            let across = (left..right).filter(|&x| fitted.pixel(x, row)[3] > 0.5).count() as f64;
            let up = (bottom..top).filter(|&y| fitted.pixel(column, y)[3] > 0.25).count() as f64;
            let shape = across * aspect / up * f64::from(SIZE[1]) / f64::from(SIZE[0]);
            assert!((shape - 1.0).abs() < 0.03, "{across} by {up} pixels in {region:?}");
        }
        assert!(node.fetched("Output") > 0);
        assert_eq!(node.fetched("Source"), 0);
        node.disconnect("Source");
        assert_eq!(node.region(time), (Status::OK, [0.0, 0.0, 300.0, 200.0]));
    }

    fn the_ellipse_is_drawn_where_the_take_is(workshop) {
        let (_host, plugin) = workshop.load(Profile::plain().sized(300.0, 200.0));
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        let like = wanted(workshop, &node);
        show(&node, &draw(workshop, &like, 7, SIZE, &|_, _, _| [1.0; 4]));
        // As wide and as high as the take.
        node.set("ellipseAxes", [f64::from(SIZE[0]) / f64::from(SIZE[1]), 1.0]);
        for aspect in [1.0, 2.0, 0.5] {
            let settings = Settings { pixel_aspect: aspect, ..project.settings() };
            project.set_settings(settings);
            let _ = node.preferences();
            for fit in [0, 2, 3] {
                node.set("fit", fit);
                let frame = node.render(&RenderAsk::at(time_of(&node, 0)));
                let [left, bottom, right, top] = frame.image().bounds();
                let places = (bottom..top).flat_map(|y| (left..right).map(move |x| [x, y]));
                let seen: Vec<_> =
                    places.filter(|[x, y]| frame.pixel(*x, *y)[3] > 0.5).collect();
                let ends = |at: usize| {
                    let places = seen.iter().map(|place| place[at]);
                    [places.clone().min().unwrap(), places.max().unwrap() + 1].map(f64::from)
                };
                let ([x1, x2], [y1, y2]) = (ends(0), ends(1));
                let take = [x1 * aspect, y1, x2 * aspect, y2];
                let strokes = node.overlay().unwrap().draw().strokes;
                let outline = strokes.iter().max_by_key(|stroke| stroke.points.len()).unwrap();
                let bound = |at: usize, pick: fn(f64, f64) -> f64| {
                    outline.points.iter().map(|point| point[at]).reduce(pick).unwrap()
                };
                let drawn =
                    [bound(0, f64::min), bound(1, f64::min), bound(0, f64::max), bound(1, f64::max)];
                let apart = take.iter().zip(drawn).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                assert!(apart < 1.5 * aspect.max(1.0), "fit {fit}, {aspect}: {take:?}, {drawn:?}");
            }
        }
    }

    fn a_speed_that_is_no_number_counts_as_one(workshop) {
        let (_host, plugin) = workshop.load(Profile::plain().sized(64.0, 48.0));
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        let like = wanted(workshop, &node);
        let take = draw(workshop, &like, 7, SIZE, &asymmetric);
        show(&node, &take);
        node.set("outside", 3);
        let domain = node.time_domain();
        node.set("speed", f64::NAN);
        assert_eq!(node.time_domain(), domain);
        let frame = node.render(&RenderAsk::at(time_of(&node, FRAME)));
        assert_shows(frame.image(), &take, Some(FRAME), "NaN");
    }

    fn before_and_after_the_take(workshop) {
        let (_host, plugin) = workshop.load(Profile::plain().sized(64.0, 48.0));
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        let like = wanted(workshop, &node);
        let take = draw(workshop, &like, 7, SIZE, &asymmetric);
        show(&node, &take);
        let start = time_of(&node, 0);
        let last = FRAMES - 1;
        // Offsets from the start in frames of the host, of which three are two of the take.
        let cases = [
            (0.0, [Some(0); 4]),
            (12.0, [Some(last); 4]),
            (0.74, [Some(0); 4]),
            (0.76, [Some(1); 4]),
            (-0.74, [Some(0); 4]),
            (-0.76, [Some(0), Some(last), Some(1), None]),
            (-3.0, [Some(0), Some(last - 1), Some(2), None]),
            (12.74, [Some(last); 4]),
            (12.76, [Some(last), Some(0), Some(last - 1), None]),
            (13.5, [Some(last), Some(0), Some(last - 1), None]),
            (27.0, [Some(last), Some(0), Some(2), None]),
            (f64::NAN, [Some(0), Some(0), Some(0), None]),
            (f64::NEG_INFINITY, [Some(0), Some(0), Some(0), None]),
            (-1e12, [Some(0), Some(0), Some(0), None]),
            (f64::INFINITY, [Some(last), Some(last), Some(last), None]),
            (1e12, [Some(last), Some(last), Some(last), None]),
        ];
        for (outside, index) in [0, 1, 2, 3].into_iter().zip(0_usize..) {
            node.set("outside", outside);
            for (offset, shown) in cases {
                let frame = node.render(&RenderAsk::at(start + offset));
                assert_shows(frame.image(), &take, shown[index], &format!("{outside}: {offset}"));
            }
        }
    }
}

/// Pixel for pixel, or nothing at all.
#[track_caller]
fn assert_shows(image: &Image, take: &Take, frame: Option<u32>, what: &str) {
    let Some(index) = frame else {
        assert!(image.pixels().all(|pixel| pixel == [0.0; 4]), "{what}");
        return;
    };
    let [.., blue, alpha] = image.pixel(32, 24);
    let expected = asymmetric(index, 0.5, 0.5)[2];
    assert!((blue - expected).abs() <= 1e-3 + rounding(Depth::Half, 1.0), "{what}: {blue}");
    assert!((alpha - 1.0).abs() < 1e-6);
    assert_eq!(take.frames(), FRAMES);
}
