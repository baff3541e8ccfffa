use super::*;

fn read_text(name: &str, text: &str) -> Result<Vec<Row>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    let mut rows = read(&path)?;
    rows.iter_mut().for_each(|row| row.folder = PathBuf::new());
    Ok(rows)
}

#[test]
fn csv_and_json_lines_say_the_same() {
    let csv = "\u{feff}colour,alpha,caption_short,caption,kind,labels,source,association,take\n\
        a.mov,b.mov,a ball,\"A red ball, still\",moving,kind=ball; slow,s,straight,7\n\
        still.png,,,,,,,,\n";
    let json = r#"{"colour":"a.mov","alpha":"b.mov","captions":["A red ball, still"],
        "caption_short":"a ball","kind":"dynamic","labels":{"kind":"ball","slow":""},
        "source":"s","association":"straight","take":7}"#
        .replace('\n', "")
        + "\n\n{\"colour\":\"still.png\"}\n";
    let [csv, json] = [read_text("t.csv", csv).unwrap(), read_text("t.jsonl", &json).unwrap()];
    assert_eq!(csv[0].captions, ["A red ball, still", "a ball"]);
    assert_eq!((csv[0].moving, csv[0].line, json[0].line), (Some(true), 2, 1));
    assert_eq!(csv[0].labels["kind"], "ball");
    assert_eq!(csv[0].others["take"], "7");
    assert_eq!(csv[1].association, None);
    for (a, mut b) in csv.into_iter().zip(json) {
        b.line = a.line;
        assert_eq!(a, b);
    }
}

#[test]
fn released_columns_are_read_exchanged_names_and_all() {
    let text = "video_fgr,video_pha,prompt,cache_path,frame_height,frame_width,num_frames,status\n\
        f.mp4,p.mp4,视频背景是透明的,c/1,104,60,21,dynamic\n";
    let row = &read_text("t.csv", text).unwrap()[0];
    assert_eq!((row.color.as_str(), row.alpha.as_str()), ("f.mp4", "p.mp4"));
    assert_eq!(row.captions, ["视频背景是透明的"]);
    assert_eq!(row.latent, Some([21, 60, 104]));
    assert_eq!((row.moving, row.others["cache_path"].as_str()), (Some(true), "c/1"));
}

#[test]
fn lines_are_counted_as_editors_do_however_they_end() {
    // A cell of two lines, and an empty line.
    let text = "colour,caption\na,\"one\ntwo\"\nb,x\n\nc,y\n";
    for end in ["\n", "\r\n", "\r"] {
        let rows = read_text("t.csv", &text.replace('\n', end)).unwrap();
        let lines: Vec<_> = rows.iter().map(|row| row.line).collect();
        assert_eq!(lines, [2, 4, 6], "{end:?}");
    }
    let json = "{\"colour\":\"a\"}\r\n\r\n{\"colour\":\"b\"}\r\n";
    let rows = read_text("t.jsonl", json).unwrap();
    assert_eq!(rows.iter().map(|row| row.line).collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn what_is_written_is_read_again() {
    let row = Row {
        color: "a, b.png".into(),
        captions: ["long \"one\"", "short", "third", "fourth"].map(str::to_owned).into(),
        moving: Some(false),
        labels: [("kind".into(), "ball".into()), ("slow".into(), String::new())].into(),
        latent: Some([1, 60, 104]),
        association: Some(Association::Premultiplied),
        color_space: Some("acescg".parse().unwrap()),
        layer: Some("beauty".into()),
        track: "a/track.json".into(),
        declined: Some("it answers 422: \"no\"".into()),
        others: [("take".into(), "3".into())].into(),
        ..Row::default()
    };
    let folder = tempfile::tempdir().unwrap();
    for name in ["t.csv", "t.jsonl"] {
        let path = folder.path().join(name);
        write(&path, std::slice::from_ref(&row)).unwrap();
        let mut back = read(&path).unwrap().remove(0);
        (back.line, back.folder) = (0, PathBuf::new());
        assert_eq!(back, row, "{name}");
    }
}

#[test]
fn mistakes_are_named_with_their_line() {
    for (name, text, words) in [
        ("t.csv", "colour,kind\na.png,fast\n", "line 2: kind is `fast`"),
        ("t.csv", "alpha\na.png\n", "line 2: it has no color"),
        ("t.csv", "colour,colour\na,b\n", "names a column twice"),
        ("t.csv", "colour,caption\na,b\nc,\"d\ne,f\n", "line 3: a quotation mark is not closed"),
        ("t.csv", "colour,alpha\na\n", "line 2 has 1 cell: expected 2"),
        ("t.csv", "colour,alpha\r\na,b\r\n\r\nc\r\n", "line 4 has 1 cell"),
        ("t.csv", "colour,kind\r\na,\r\nb,fast\r\n", "line 3: kind is `fast`"),
        ("t.csv", "colour\n", "it has no rows"),
        ("t.csv", "colour,association\na,both\n", "association is `both`"),
        ("t.jsonl", "{\"colour\":\"a\"}\nnonsense\n", "line 2 is no JSON object"),
        ("t.jsonl", "{\"colour\":[1]}\n", "line 1: colour is [1]"),
        (
            "t.jsonl",
            "{\"colour\":\"a\"}\n{\"colour\":\"b\",\"kind\":\"still\",\"colour\":\"c\"}\n",
            "line 2 is no JSON object: the key `colour` stands twice",
        ),
        (
            "t.jsonl",
            "{\"colour\":\"a\",\"labels\":{\"kind\":\"x\",\"kind\":\"y\"}}\n",
            "the key `kind` stands twice",
        ),
        ("t.tsv", "colour\tcaption\na.png\tb\n", "its columns are separated by tabs: write it as"),
        (
            "t.json",
            "[{\"colour\":\"a\"},\n {\"colour\":\"b\"}]",
            "it is a JSON array: expected JSON",
        ),
        ("t.json", "{\n\"colour\":\"a\"\n}\n", "one JSON object over several lines: expected"),
        ("t.csv", "{\"colour\":\"a\"}\n", "it is called .csv, but holds JSON: call it .jsonl"),
        ("t.jsonl", "colour,caption\na,b\n", "begins `colour,caption`; call a table of columns"),
        ("t.txt", "colour,caption\na,b\n", "neither called .csv, .jsonl nor .yaml"),
        ("t.csv", "PK\u{3}\u{4}", "a workbook or another archive"),
        ("t.csv", "colour,num_frames\na,many\n", "num_frames is `many`"),
        ("t.csv", "colour,caption\na.png,b\nc.png,d\0e\n", "it has a byte 0 (line 3)"),
        ("t.jsonl", "{\"colour\":\"a\\u0000.png\"}\n", "line 1: a path of it holds a byte 0"),
        ("t.csv", "colour,labels\na,x=1; y; x=2\n", "labels has `x` twice, as `1` and as `2`"),
    ] {
        let text = format!("{:#}", read_text(name, text).unwrap_err());
        assert!(text.contains(words), "`{words}` is not in {text}");
    }
}

#[cfg(unix)]
#[test]
fn paths_of_windows_are_told_and_backslashes_get_the_remedy_that_helps() {
    for (path, words) in [
        ("C:/clips/a.mov", "is one of Windows, which is nowhere here"),
        ("d:\\\\clips\\\\a.mov", "is one of Windows"),
        ("\\\\\\\\server\\\\a.mov", "is one of Windows"),
        ("clips\\\\a.mov", "write it with slashes, `clips/a.mov`"),
    ] {
        let row = read_text("t.jsonl", &format!("{{\"colour\":\"{path}\"}}\n")).unwrap().remove(0);
        let text = row.check_paths().unwrap_err().to_string();
        assert!(text.contains(words), "{text}");
    }
}
