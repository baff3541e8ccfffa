use super::*;
use wan_alpha_core::Unwatched;
use wan_alpha_core::train::RgbaVaeSettings;

const VAE: &str = r#"
    seed = 3
    steps = 100
    batch = 2
    [task]
    kind = "rgba-vae"
    base = ["base/Wan2.1_VAE.pth"]
    rank = 16
    [data]
    set = "clips"
    frames = 17
    height = 272
    width = 272
"#;

fn read(text: &str) -> Result<Settings> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("run.toml");
    std::fs::write(&path, text)?;
    let mut settings = Settings::read(&path, &Unwatched)?;
    // Back to what was written.
    for path in settings.paths() {
        *path = path.strip_prefix(folder.path())?.to_owned();
    }
    Ok(settings)
}

#[test]
fn what_is_left_out_is_as_released() {
    let settings = read(VAE).unwrap();
    assert_eq!(settings.accumulate, 1);
    assert_eq!(settings.precision, Precision::F32);
    let Task::RgbaVae(task) = &settings.task else { panic!("{settings:?}") };
    assert_eq!(task.base, [PathBuf::from("base/Wan2.1_VAE.pth")]);
    let expected = RgbaVaeSettings { rank: 16, ..RgbaVaeSettings::default() };
    assert_eq!(task.settings(), expected);
    assert_eq!(settings.optimizer(), OptimizerSettings::default());
    let dora = VAE.replace("rgba-vae", "dora").replace("set = ", "cache = ");
    let settings = read(&dora).unwrap();
    let released = OptimizerSettings { schedule: Schedule::Released, ..Default::default() };
    assert_eq!(settings.optimizer(), released);
}

#[test]
fn paths_count_from_the_files_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.toml");
    std::fs::write(&path, VAE).unwrap();
    let settings = Settings::read(&path, &Unwatched).unwrap();
    assert_eq!(settings.data.set, Some(folder.path().join("clips")));
}

/// What a stage's name begins with.
fn number_of(path: &Path) -> u32 {
    let name = path.file_stem().unwrap().to_str().unwrap();
    name.split('-').next().unwrap().parse().unwrap()
}

/// The runs of a folder in their order, and the kind of each.
fn stages(folder: &str) -> Vec<(String, Settings)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut runs: Vec<(PathBuf, Settings)> = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            runs.push((path.clone(), Settings::read(&path, &Unwatched).unwrap()));
        }
    }
    runs.sort_by_key(|(path, _)| number_of(path));
    let kind = |settings: &Settings| {
        let task = serde_json::to_value(&settings.task).unwrap();
        task["kind"].as_str().unwrap().to_owned()
    };
    runs.into_iter().map(|(_, settings)| (kind(&settings), settings)).collect()
}

#[test]
fn the_stages_of_the_draft_model_are_runs() {
    let runs = stages("resources/draft-training");
    let kinds: Vec<&str> = runs.iter().map(|(kind, _)| kind.as_str()).collect();
    let [base, rgba, transformer] = ["base-vae", "rgba-vae", "transformer"];
    assert_eq!(
        kinds,
        [
            "tokenizer",
            base,
            base,
            transformer,
            rgba,
            transformer,
            rgba,
            transformer,
            transformer,
            transformer
        ]
    );
}

#[test]
fn the_stages_of_the_mixture_are_runs_of_the_second_edition_that_lose_little_when_they_stop() {
    let runs = stages("resources/draft-training/mixture");
    let kinds: Vec<&str> = runs.iter().map(|(kind, _)| kind.as_str()).collect();
    let [base, rgba, transformer] = ["base-vae", "rgba-vae", "transformer"];
    assert_eq!(kinds, ["tokenizer", base, rgba, transformer, rgba]);
    for (kind, settings) in &runs {
        assert_eq!(settings.data.edition, Some(2), "{kind}");
        assert!(settings.every.checkpoint <= 250, "{kind}");
    }
    let windows = runs[3].1.data.windows().unwrap();
    for needed in [[17, 96, 96], [17, 128, 128], [33, 96, 160]] {
        let [frames, height, width] = needed;
        assert!(windows.contains(&Window { frames, height, width }), "{needed:?}");
    }
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let cases = [
        ("steps = 100", "steps = 0", "steps: expected at least 1"),
        ("batch = 2", "batch = 0", "batch: expected at least 1"),
        ("seed = 3", "sead = 3", "unknown field `sead`"),
        ("rank = 16", "rank = 0", "task.rank"),
        ("rank = 16", "ranks = 16", "unknown field `ranks`"),
        ("rank = 16", "freeze_merge = true", "task.freeze_merge"),
        ("rank = 16", "freeze_merge = true\nstart = \"a\"\ndit = [\"b\"]", "task.dit"),
        ("rank = 16", "hard = \"false\"", "unknown variant `false`"),
        ("rank = 16", "freeze_merge = true\nstart = \"a.bin\"\ncalibrate = 9", "task.calibrate"),
        ("rank = 16", "latent_noise = -1.0", "task.latent_noise"),
        ("rank = 16", "align = 9", "task.align"),
        ("rank = 16", "align = 9\nstart = \"a.bin\"\ncalibrate = 9", "task.align"),
        ("rank = 16", "align = 9\nstart = \"a.bin\"\nfreeze_merge = true", "task.align"),
        ("frames = 17", "frames = 16", "data.frames: expected 1, 5, 9"),
        ("height = 272", "height = 270", "multiples of 8"),
        ("height = 272", "shapes = [[17, 96, 96]]", "data.shapes: stands in place of"),
        ("set = \"clips\"", "set = \"clips\"\nedition = 2", "data.edition: says which procedural"),
        (
            "set = \"clips\"",
            "procedural = 1\nedition = 3",
            "data.edition: expected 1 to 2, found 3",
        ),
        ("set = \"clips\"", "set = \"clips\"\nprocedural = 1", "one of `set`, `cache` and"),
        ("set = \"clips\"", "", "one of `set`, `cache` and"),
        ("set = \"clips\"", "procedural = 1\npool = 5", "data.pool"),
        ("set = \"clips\"", "cache = \"clips\"", "trained on clips"),
        ("\"rgba-vae\"", "\"dora\"", "trained on latents"),
        ("\"rgba-vae\"", "\"vae\"", "unknown variant `vae`"),
        ("[data]", "[optimiser]\nrate = -1\n[data]", "optimiser.rate"),
        ("[data]", "[optimiser]\nema = 1.5\n[data]", "optimiser.ema"),
        ("[data]", "[every]\nkeep = 0\n[data]", "every.keep"),
        ("seed = 3", "precision = \"fp8\"", "fp8 is not for training"),
    ];
    for (from, to, expected) in cases {
        assert!(VAE.contains(from), "{from}");
        let error = format!("{:#}", read(&VAE.replace(from, to)).unwrap_err());
        assert!(error.contains(expected), "{to}: {error}");
        assert!(error.contains("run.toml"), "{error}");
    }
}

#[test]
fn shapes_stand_in_place_of_one_and_each_must_fit() {
    let one = "frames = 17\n    height = 272\n    width = 272";
    let with = |shapes: &str| read(&VAE.replace(one, &format!("shapes = {shapes}")));
    let windows = with("[[17, 96, 96], [33, 96, 160]]").unwrap().data.windows().unwrap();
    assert_eq!(windows[1], Window { frames: 33, height: 96, width: 160 });
    for (shapes, expected) in [
        ("[[17, 96, 96], [16, 96, 96]]", "data.shapes, frames: expected 1, 5, 9"),
        ("[[17, 90, 96]]", "data.shapes, height and width: expected multiples of 8, found 90"),
        ("[]", "data.frames: expected 1, 5, 9"),
    ] {
        let error = format!("{:#}", with(shapes).unwrap_err());
        assert!(error.contains(expected), "{shapes}: {error}");
    }
}

#[test]
fn a_run_that_goes_on_may_be_longer_and_slower_but_not_another() {
    let before = read(VAE).unwrap();
    for free in ["steps = 900", "[every]\nsample = 7\n[data]", "[optimiser]\nrate = 1e-5\n[data]"] {
        let place = if free.starts_with('[') { "[data]" } else { "steps = 100" };
        let now = read(&VAE.replace(place, free)).unwrap();
        assert_eq!(now.differences(&before).unwrap(), Vec::<String>::new(), "{free}");
    }
    let now = read(&VAE.replace("rank = 16", "rank = 8").replace("seed = 3", "seed = 4")).unwrap();
    let found = now.differences(&before).unwrap();
    assert_eq!(found, ["seed was 3 and is 4", "task.rank was 16 and is 8"]);
    // What is kept in a folder is read back as it was.
    let kept: Settings = serde_json::from_slice(&serde_json::to_vec(&before).unwrap()).unwrap();
    assert_eq!(kept.differences(&before).unwrap(), Vec::<String>::new());
}
