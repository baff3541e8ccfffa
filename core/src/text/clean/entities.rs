//! HTML entities in text that is not HTML.

/// Longest name or number between `&` and `;`.
const LONGEST: usize = 24;

/// `text` with every entity that ends in `;` resolved once. `&EACUTE;` is accepted for `É`.
pub(super) fn resolved(text: &str) -> String {
    let mut pieces = text.split('&');
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let found = piece.split_once(';').and_then(|(name, rest)| Some((entity(name)?, rest)));
        match found {
            Some((character, rest)) => out.extend([character.as_str(), rest]),
            None => out.extend(["&", piece]),
        }
    }
    out
}

/// What `&name;` stands for, in capitals too.
fn entity(name: &str) -> Option<String> {
    let letters = name.strip_prefix('#').unwrap_or(name);
    let valid = (1..=LONGEST).contains(&letters.len())
        && letters.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !valid {
        return None;
    }
    let shouted = !name.starts_with('#') && !name.bytes().any(|byte| byte.is_ascii_lowercase());
    let in_capitals = || Some(known(&name.to_lowercase())?.to_uppercase());
    known(name).or_else(|| if shouted { in_capitals() } else { None })
}

/// What `&name;` stands for in HTML.
fn known(name: &str) -> Option<String> {
    let source = format!("&{name};");
    let found = htmlize::unescape(source.as_str());
    // `&notit;` would become `¬it;`.
    let whole = found != source && (name == "semi" || !found.contains(';'));
    whole.then(|| found.into_owned())
}
