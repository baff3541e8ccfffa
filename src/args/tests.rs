use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use clap::CommandFactory;
use clap::error::ErrorKind;
use wan_alpha_core::Unwatched;
use wan_alpha_core::device::{CardName, DeviceChoice};
use wan_alpha_take::environment::{Environment, Surroundings};
use wan_alpha_take::{Interpolation, Precision, Solver};

use crate::exit::Exit;
use crate::output::Format;

fn parse(more: &[&str]) -> Result<Render, clap::Error> {
    let line = ["wan-alpha", "render", "--model", "m", "--prompt", "p", "--out", "o"];
    let Command::Render(render) = Cli::try_parse_from(line.iter().chain(more))?.command else {
        panic!("not a render")
    };
    Ok(*render)
}

#[test]
fn the_table_of_flags_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn a_rate_that_is_no_whole_number_is_told_which_is_near() {
    let said = |rate: &str| {
        let line = ["wan-alpha", "take", "export", "k", "--out", "o", "--rate", rate];
        Cli::try_parse_from(line).map_err(|error| error.to_string()).map(|_| ())
    };
    assert_eq!(said("24"), Ok(()));
    for (rate, near) in
        [("23.976", "; for 23.976 take 24"), ("29.97", "take 30"), ("0.2", "1 to 240")]
    {
        let error = said(rate).unwrap_err();
        assert!(error.contains("whole number of frames per second, 1 to 240"), "{error}");
        assert!(error.contains(near) && !error.contains("digit"), "{error}");
    }
    assert!(said("241").unwrap_err().contains("1 to 240"));
}

/// Words as a shell makes them of a line without variables.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (n, part) in line.split('"').enumerate() {
        match n % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words
}

/// README, CONTRIBUTING and every page of `docs`, each with the lines that a shell joins joined.
fn documentation() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![root.join("README.md"), root.join("CONTRIBUTING.md")];
    for entry in fs::read_dir(root.join("docs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
    pages.iter().map(|page| fs::read_to_string(page).unwrap().replace("\\\n", "")).collect()
}

/// The commands of a page: lines that are one, and what stands as one in its text.
fn commands_of(page: &str) -> impl Iterator<Item = &str> {
    let in_text = page.split('`').skip(1).step_by(2);
    page.lines()
        .chain(in_text)
        .filter_map(|line| {
            line.strip_prefix("target/release/").unwrap_or(line).strip_prefix("wan-alpha ")
        })
        .map(|line| line.split(" #").next().unwrap_or(line))
        // Where its output goes is the shell's affair.
        .map(|line| line.split(" >").next().unwrap_or(line))
        // What is left out is said above them.
        .filter(|line| !line.contains('…') || line.contains('"'))
}

#[test]
fn command_lines_of_the_documentation_are_understood() {
    let pages = documentation();
    let commands: Vec<_> = pages.iter().flat_map(|page| commands_of(page)).collect();
    // README alone has few; the pages have most.
    assert!(commands.len() > 30, "{commands:#?}");
    for line in commands {
        let line = format!("wan-alpha {line}");
        if let Err(error) = Cli::try_parse_from(words(&line)) {
            panic!("{line}: {error}");
        }
    }
}

#[test]
fn the_line_of_a_verb_names_all_that_it_does() {
    let command = Cli::command();
    for verb in ["take", "model", "data"] {
        let verb = command.find_subcommand(verb).unwrap();
        let said = verb.get_about().unwrap().to_string();
        for one in verb.get_subcommands().map(clap::Command::get_name) {
            // To draw a set is `procedural`.
            assert!(said.contains(one) || one == "procedural", "`{one}` is not in: {said}");
        }
    }
}

#[test]
fn what_is_left_out_is_left_to_the_model() {
    let render = parse(&[]).unwrap();
    assert_eq!((render.width, render.height, render.frames), (None, None, None));
    assert_eq!((render.steps, render.guidance, render.shift), (None, None, None));
    assert_eq!((render.solver, render.mu, render.dtype), (None, None, None));
    assert_eq!((render.seed, render.dora_strength, render.distill_strength), (1, 1.0, 1.0));
    assert_eq!((&render.computing.device, render.computing.threads), (&None, Threads::default()));
    assert_eq!(render.ellipse_interp, Interpolation::Linear);
    assert_eq!(render.files.format, [Format::Exr, Format::Png]);
}

#[test]
fn everything_can_be_given() {
    let all = "--model a b --negative n --seed 4294967295 --width 640 --height 480 --frames 17 \
        --steps 6 --guidance 5 --shift 3.5 --solver dpm++ --mu 0.03 --ellipse 0.5,0.5,0.6,1,0 \
        --ellipse-interp smooth --dora-strength 0.9 --distill-strength 0.8 --dtype bf16 \
        --device cuda:1 --format png,png --dump d --threads 2";
    let render = parse(&all.split_whitespace().collect::<Vec<_>>()).unwrap();
    assert_eq!(render.model, ["m", "a", "b"].map(PathBuf::from));
    assert_eq!(render.noise_seed(), u32::MAX);
    assert_eq!(render.seed_warning(), None);
    let large = parse(&["--seed", "4294967303"]).unwrap();
    assert_eq!(large.noise_seed(), 7);
    assert!(large.seed_warning().unwrap().contains("7 is the same"));
    assert_eq!(render.solver, Some(Solver::DpmPlusPlus));
    assert_eq!(render.dtype, Some(Precision::Bf16));
    assert_eq!(render.computing.device, Some(DeviceChoice::Cuda(CardName::Index(1))));
    assert_eq!(render.ellipse_interp, Interpolation::Smooth);
    assert_eq!(render.files.format, [Format::Png, Format::Png]);
    assert_eq!((render.guidance, render.shift, render.mu), (Some(5.0), Some(3.5), Some(0.03)));
    assert_eq!((render.dora_strength, render.distill_strength), (0.9, 0.8));
    assert_eq!(render.computing.threads.threads, Some(2));
}

#[test]
fn negative_numbers_and_nan_are_values_to_be_judged_later() {
    let render = parse(&["--mu", "-0.1", "--ellipse", "-0.5,0.5,0.6,1,-30"]).unwrap();
    assert_eq!(render.mu, Some(-0.1));
    assert_eq!(render.ellipse.as_deref(), Some("-0.5,0.5,0.6,1,-30"));
    let render = parse(&["--mu", "NaN", "--shift", "-inf", "--guidance", "-1e3"]).unwrap();
    assert!(render.mu.is_some_and(f64::is_nan));
    assert_eq!((render.shift, render.guidance), (Some(f64::NEG_INFINITY), Some(-1000.0)));
    assert_eq!(parse(&["--dora-strength", "-1"]).unwrap().dora_strength, -1.0);
}

#[test]
fn there_is_one_way_to_place_the_subject() {
    for pair in [
        ["--ellipse", "e", "--mask", "m"],
        ["--ellipse", "e", "--ellipse-track", "t"],
        ["--ellipse-track", "t", "--mask", "m"],
        ["--ellipse-interp", "smooth", "--mask", "m"],
    ] {
        assert_eq!(parse(&pair).unwrap_err().kind(), ErrorKind::ArgumentConflict, "{pair:?}");
    }
    let alone = parse(&["--ellipse-interp", "smooth"]).unwrap_err();
    assert_eq!(alone.kind(), ErrorKind::MissingRequiredArgument);
    assert!(parse(&["--mask", "m"]).is_ok());
}

#[test]
fn mistakes_are_usage_errors_and_exit_with_2() {
    for wrong in [
        &["--solver", "heun"][..],
        &["--dtype", "fp4"],
        &["--device", "cuda:x"],
        &["--device", "GPU-x"],
        &["--device", "gpu"],
        &["--seed", "-1"],
        &["--seed", "18446744073709551616"],
        &["--width", "-16"],
        &["--mu", "strong"],
        &["--format", "jpg"],
        &["--threads", "0"],
        &["--quiet", "--verbose"],
        &["--no-such-flag"],
    ] {
        assert_eq!(parse(wrong).unwrap_err().exit_code(), 2, "{wrong:?}");
    }
    let line = ["wan-alpha", "render", "--model", "m", "--prompt", "p"];
    let error = Cli::try_parse_from(line).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MissingRequiredArgument);
}

#[test]
fn verbosity_may_stand_anywhere() {
    let render = ["render", "--model", "m", "--prompt", "p", "--out", "o"];
    let parse = |before: &[&'static str], after: &[&'static str]| {
        Cli::try_parse_from([&["wan-alpha"], before, &render, after].concat()).unwrap()
    };
    assert_eq!(parse(&["-v"], &[]).verbose, 1);
    assert_eq!(parse(&[], &["-vv"]).verbose, 2);
    assert!(parse(&["-q"], &[]).quiet && parse(&[], &["--quiet"]).quiet);
    assert!(!parse(&[], &[]).quiet);
}

#[test]
fn a_prompt_may_begin_with_a_hyphen() {
    for flag in ["--prompt", "--negative"] {
        let line = ["wan-alpha", "render", "--out", "o", "--prompt", "p", flag, "-5 degrees, snow"];
        let line =
            if flag == "--prompt" { [&line[..4], &line[6..]].concat() } else { line.to_vec() };
        let Command::Render(render) = Cli::try_parse_from(line).unwrap().command else {
            panic!("not a render")
        };
        assert!([render.prompt, render.negative].contains(&Some("-5 degrees, snow".into())));
    }
}

#[test]
fn a_prompt_is_itself_or_a_file_s_text_without_its_last_line_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("prompt.txt");
    let at = format!("@{}", path.display());
    let read = || text_or_file("--prompt", &at, &Unwatched);

    assert_eq!(text_or_file("--prompt", " a cat\n", &Unwatched).unwrap(), " a cat\n");
    assert_eq!(text_or_file("--prompt", "@@home", &Unwatched).unwrap(), "@home");
    fs::write(&path, " 一只猫\r\nat night\r\n\n").unwrap();
    assert_eq!(read().unwrap(), " 一只猫\r\nat night");
    fs::write(&path, "\u{feff}a cat").unwrap();
    assert_eq!(read().unwrap(), "a cat");
}

#[test]
fn a_prompt_file_that_cannot_be_read_is_bad_input_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("prompt.txt");
    let failure = |text: &str| {
        let error = text_or_file("--negative", text, &Unwatched).unwrap_err();
        assert_eq!(Exit::of(&error), Exit::BadInput);
        error.to_string()
    };
    let at = format!("@{}", path.display());
    assert!(failure(&at).contains("cannot read --negative file"), "{}", failure(&at));
    assert!(failure(&at).contains("prompt.txt"));
    fs::write(&path, b"caf\xe9").unwrap();
    assert!(failure(&at).contains("not UTF-8 text (byte 3)"), "{}", failure(&at));
    assert!(failure("@").contains("needs a file name"));
    assert!(failure(&format!("@{}", folder.path().display())).contains("cannot read"));
}

#[test]
fn files_are_written_as_they_are_asked_for() {
    let settings = |text: &str| {
        let render = parse(&text.split_whitespace().collect::<Vec<_>>()).unwrap();
        render.files.settings(&Environment::of(Surroundings::default()))
    };
    let made =
        settings("--format webm,png,exr,png --name fox_### --start 1001 --mark china").unwrap();
    assert_eq!(made.formats, [Format::Exr, Format::Png, Format::WebM]);
    assert_eq!((made.names.to_string().as_str(), made.names.start), ("fox_###", 1001));
    assert!(made.mark_china && !made.mark_prompt && made.recipe && !made.force);
    let other = settings("--png-depth 8 --padding 6 --no-recipe --force").unwrap();
    assert!(other.png.is_8_bit && !other.recipe && other.force);
    assert_eq!(other.names.to_string(), "rgba.######");
    let text = format!("{:#}", settings("--over nothing.png").unwrap_err());
    assert!(text.contains("neither a color") && text.contains("magenta"), "{text}");
    assert!(parse(&["--over", "red", "--alpha-only"]).is_err());
    for wrong in [["--name", "a/b"], ["--padding", "0"], ["--start", "-1"], ["--png-depth", "12"]] {
        assert!(parse(&wrong).is_err(), "{wrong:?}");
    }
}
