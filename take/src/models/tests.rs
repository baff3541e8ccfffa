use super::*;

fn manifest(name: &str, file: &Path) -> Manifest {
    Manifest {
        version: manifest::VERSION,
        name: name.to_owned(),
        fingerprint: fingerprint(name),
        parts: vec![PartFile::of(file).unwrap()],
        defaults: Defaults::default(),
        parameters: 1,
        merged: None,
        made_for: MadeFor::default(),
        preset: None,
        images: None,
        quantized_from: None,
        preview: None,
    }
}

fn fingerprint(name: &str) -> Fingerprint {
    Fingerprint(*blake3::hash(name.as_bytes()).as_bytes())
}

fn roots(folder: &Path) -> ModelRoots {
    ModelRoots { roots: vec![folder.join("a"), folder.join("b")], ..ModelRoots::default() }
}

#[test]
fn a_model_is_found_by_name_fingerprint_and_auto() {
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("weights.safetensors");
    fs::write(&weights, b"x").unwrap();
    let mut roots = roots(folder.path());
    assert!(matches!(roots.find(AUTO), Err(ModelError::Unknown { .. })));
    for name in ["one", "two"] {
        roots.add(&manifest(name, &weights)).unwrap();
    }
    assert_eq!(roots.find("one").unwrap().manifest.name, "one");
    assert_eq!(roots.find("one").unwrap().paths(), [weights.canonicalize().unwrap()]);
    let found = roots.with_fingerprint(fingerprint("two")).unwrap().unwrap();
    assert_eq!(found.manifest.name, "two");
    let among = |roots: &ModelRoots| {
        let list = roots.list().unwrap();
        roots.auto_among(&list).map(|model| model.manifest.name.clone())
    };
    assert_eq!(among(&roots), Some(roots.find(AUTO).unwrap().manifest.name));
    roots.preferred = Some("two".into());
    assert_eq!(roots.find(AUTO).unwrap().manifest.name, "two");
    assert_eq!(among(&roots).as_deref(), Some("two"));
    roots.preferred = Some("three".into());
    assert!(among(&roots).is_none() && roots.find(AUTO).is_err());
    roots.remove("two").unwrap();
    assert!(roots.find("two").is_err() && weights.is_file());
    let error = roots.find("two").unwrap_err().to_string();
    assert!(error.contains("models known: one") && error.contains("add one with"), "{error}");
}

#[test]
fn what_ships_is_the_last_of_the_list_and_auto_where_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("weights.safetensors");
    fs::write(&weights, b"x").unwrap();
    let ships = folder.path().join("draft-model");
    manifest(DRAFT, &weights).write(&ships).unwrap();
    let roots = ModelRoots { draft: vec![ships], ..roots(folder.path()) };
    let names = || -> Vec<_> {
        roots.list().unwrap().into_iter().map(|model| model.manifest.name).collect()
    };
    assert_eq!(names(), [DRAFT]);
    assert_eq!(roots.find(AUTO).unwrap().manifest.name, DRAFT);
    assert!(matches!(roots.remove(DRAFT), Err(ModelError::ComesAlong(_))));
    roots.add(&manifest("one", &weights)).unwrap();
    assert_eq!(names(), ["one", DRAFT]);
    assert_eq!(roots.find(AUTO).unwrap().manifest.name, "one");
    // A user's own of that name stands in its place.
    roots.add(&manifest(DRAFT, &weights)).unwrap();
    assert_eq!(names().len(), 2);
    assert!(roots.find(DRAFT).unwrap().folder.starts_with(folder.path().join("a")));
}

#[test]
fn a_copy_in_fewer_bits_is_auto_only_where_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("weights.safetensors");
    fs::write(&weights, b"x").unwrap();
    let ships = folder.path().join("draft-model");
    let mut roots = roots(folder.path());
    let autos = |roots: &ModelRoots| {
        let list = roots.list().unwrap();
        let among = roots.auto_among(&list).unwrap().manifest.name.clone();
        assert_eq!(roots.find(AUTO).unwrap().manifest.name, among);
        among
    };
    let copy = |of: &str| Manifest {
        quantized_from: Some(of.to_owned()),
        ..manifest(&format!("{of}-q4_k"), &weights)
    };
    roots.add(&copy("one")).unwrap();
    assert_eq!(autos(&roots), "one-q4_k");
    // Of the model that ships, which is the last of the list.
    manifest(DRAFT, &weights).write(&ships).unwrap();
    roots.draft = vec![ships];
    roots.add(&copy(DRAFT)).unwrap();
    assert_eq!(autos(&roots), DRAFT);
    roots.add(&manifest("one", &weights)).unwrap();
    roots.add(&copy("one")).unwrap();
    assert_eq!(autos(&roots), "one");
    // Whoever says so has it.
    roots.preferred = Some("one-q4_k".into());
    assert_eq!(autos(&roots), "one-q4_k");
    assert_eq!(roots.find("one-q4_k").unwrap().manifest, copy("one"));
}

#[test]
fn of_two_names_for_one_model_the_whole_one_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let roots = roots(folder.path());
    for name in ["gone", "whole"] {
        let weights = folder.path().join(format!("{name}.safetensors"));
        fs::write(&weights, b"x").unwrap();
        let record = Manifest { fingerprint: fingerprint("one"), ..manifest(name, &weights) };
        roots.add(&record).unwrap();
    }
    // A root that is no folder stands in nobody's way.
    fs::write(folder.path().join("b"), b"x").unwrap();
    fs::remove_file(folder.path().join("gone.safetensors")).unwrap();
    let found = roots.with_fingerprint(fingerprint("one")).unwrap().unwrap();
    assert_eq!(found.manifest.name, "whole");
    fs::remove_file(folder.path().join("whole.safetensors")).unwrap();
    assert!(roots.with_fingerprint(fingerprint("one")).unwrap().unwrap().changed().is_some());
}

#[test]
fn a_model_whose_files_changed_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("weights.safetensors");
    fs::write(&weights, b"x").unwrap();
    let roots = roots(folder.path());
    roots.add(&manifest("one", &weights)).unwrap();
    fs::write(&weights, b"longer").unwrap();
    let error = roots.find("one").unwrap_err().to_string();
    assert!(error.contains("weights.safetensors") && error.contains("model add one"), "{error}");
    assert!(matches!(roots.find(AUTO), Err(ModelError::Unknown { .. })));
    fs::remove_file(&weights).unwrap();
    assert!(roots.find("one").unwrap_err().to_string().contains("is gone"));
}

#[test]
fn a_file_that_is_written_over_within_a_second_has_changed() {
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("weights.safetensors");
    let write = |bytes: &[u8], nanos: u32| {
        fs::write(&weights, bytes).unwrap();
        let time = SystemTime::UNIX_EPOCH + std::time::Duration::new(1_700_000_000, nanos);
        fs::File::options().write(true).open(&weights).unwrap().set_modified(time).unwrap();
    };
    write(b"x", 123_456_789);
    let roots = roots(folder.path());
    roots.add(&manifest("one", &weights)).unwrap();
    write(b"y", 623_456_789);
    assert!(roots.find("one").unwrap_err().to_string().contains("has changed"));
    // Where times are kept to fewer digits, or the record knows none, it is the same file.
    for nanos in [123_456_789, 123_456_700, 123_000_000, 0] {
        write(b"x", nanos);
        roots.find("one").unwrap();
    }
    let record = folder.path().join("a/one").join(manifest::FILE);
    let mut older: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&record).unwrap()).unwrap();
    older["parts"][0].as_object_mut().unwrap().remove("modified_nanos").unwrap();
    fs::write(&record, older.to_string()).unwrap();
    write(b"y", 623_456_789);
    roots.find("one").unwrap();
}

#[test]
fn a_model_whose_defaults_cannot_run_does_not_become_auto() {
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("weights.safetensors");
    fs::write(&weights, b"x").unwrap();
    let mut roots = roots(folder.path());
    let with = |name: &str, defaults: Defaults| Manifest { defaults, ..manifest(name, &weights) };
    let auto = |roots: &ModelRoots| {
        let list = roots.list().unwrap();
        let among = roots.auto_among(&list).unwrap().manifest.name.clone();
        assert_eq!(roots.find(AUTO).unwrap().manifest.name, among);
        among
    };
    // Records that say nothing are completed by what the files are.
    roots.add(&manifest("good", &weights)).unwrap();
    assert_eq!(auto(&roots), "good");
    for (name, defaults) in [
        ("frames", Defaults { frames: Some(18), ..Defaults::default() }),
        ("steps", Defaults { steps: Some(0), ..Defaults::default() }),
        ("size", Defaults { width: Some(100), ..Defaults::default() }),
    ] {
        roots.add(&with(name, defaults)).unwrap();
        assert_eq!(auto(&roots), "good", "{name}");
        // By its name it is found, and who uses it is told what cannot be done.
        assert_eq!(roots.find(name).unwrap().manifest.name, name);
    }
    roots.preferred = Some("steps".into());
    assert_eq!(auto(&roots), "steps");
}

#[test]
fn a_merged_copy_lives_and_goes_with_its_record() {
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("weights.safetensors");
    fs::write(&weights, b"x").unwrap();
    let roots = roots(folder.path());
    let plain = manifest("one", &weights);
    let record = roots.add(&plain).unwrap();
    assert_eq!(roots.find("one").unwrap().merged(), Ok(None));
    let copy = record.with_file_name(MergedCopy::file_name(Precision::Bf16));
    fs::write(&copy, b"merged").unwrap();
    let file = PartFile { path: copy.file_name().unwrap().into(), ..PartFile::of(&copy).unwrap() };
    let merged = Some(MergedCopy { file, precision: Precision::Bf16 });
    roots.add(&Manifest { merged, ..plain.clone() }).unwrap();
    let found = roots.find("one").unwrap().merged().unwrap();
    assert_eq!(found, Some((copy.clone(), Precision::Bf16)));

    fs::write(&copy, b"other bytes").unwrap();
    assert!(roots.find("one").unwrap().merged().unwrap_err().contains("has changed"));
    fs::remove_file(&copy).unwrap();
    assert!(roots.find("one").unwrap().merged().unwrap_err().contains("is gone"));

    // Added again without one, and removed.
    for end in [true, false] {
        fs::write(&copy, b"merged").unwrap();
        if end {
            roots.add(&plain).unwrap();
        } else {
            roots.remove("one").unwrap();
            assert!(!copy.parent().unwrap().exists());
        }
        assert!(!copy.exists() && weights.exists());
    }
}

#[test]
fn a_name_never_leaves_its_root() {
    for name in ["", ".", "..", "a/b", "../x", "a\\b", ".hidden", "a\0", "a b"] {
        assert!(roots(Path::new("nowhere")).find(name).unwrap_err().to_string().contains("name"));
    }
}

#[cfg(unix)]
#[test]
fn a_record_is_as_open_to_others_as_any_new_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("weights.safetensors");
    fs::write(&weights, b"x").unwrap();
    let record = manifest("one", &weights).write(folder.path()).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&record), mode(&weights));
}

#[test]
fn a_damaged_record_is_said_to_be_one() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("a/one");
    fs::create_dir_all(&model).unwrap();
    fs::write(model.join(manifest::FILE), "{").unwrap();
    let error = roots(folder.path()).find("one").unwrap_err().to_string();
    assert!(error.contains(manifest::FILE), "{error}");
    // In a list the others still count.
    assert!(roots(folder.path()).list().unwrap().is_empty());
    // What cannot be read can be forgotten.
    assert_eq!(roots(folder.path()).remove("one").unwrap(), model.join(manifest::FILE));
    assert!(!model.exists());
}
