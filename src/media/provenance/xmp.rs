//! XMP packets: what they say is written and read as names and texts.
//!
//! Read is as much of XML as packets have: names with their prefixes, attributes, elements with texts,
//! and lists, whose entries stand under the name of the list.

use super::Provenance;

/// What a packet begins with, so that programs find it that do not know the file's format.
const BEGIN: &str = "<?xpacket begin=\"\u{feff}\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n";
const END: &str = "\n<?xpacket end=\"w\"?>";

/// The prefixes of names, and what they stand for.
const NAMESPACES: [(&str, &str); 7] = [
    ("rdf", "http://www.w3.org/1999/02/22-rdf-syntax-ns#"),
    ("dc", "http://purl.org/dc/elements/1.1/"),
    ("xmp", "http://ns.adobe.com/xap/1.0/"),
    ("Iptc4xmpExt", "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"),
    ("TC260", "http://www.tc260.org.cn/ns/AIGC/1.0/"),
    ("wanAlpha", "urn:wan-alpha:take"),
    ("xml", ""),
];

/// The recipe's name in a packet.
pub(crate) const RECIPE: &str = "wanAlpha:Recipe";

/// The packet of a file, with the recipe where the file has no better place for it.
pub(crate) fn packet(provenance: &Provenance, with_recipe: bool) -> String {
    let mut texts = vec![
        ("xmp:CreatorTool", provenance.software.clone()),
        ("xmp:CreateDate", provenance.made.iso_words()),
    ];
    texts.extend(provenance.marks());
    if with_recipe && !provenance.recipe.is_empty() {
        texts.push((RECIPE, provenance.recipe.clone()));
    }
    let mut body = String::new();
    for (name, words) in &texts {
        body += &format!("   <{name}>{}</{name}>\n", escaped(words));
    }
    for (name, words) in
        [("dc:rights", &provenance.owner), ("dc:description", &provenance.description)]
    {
        if !words.is_empty() {
            let item = format!("<rdf:li xml:lang=\"x-default\">{}</rdf:li>", escaped(words));
            body += &format!("   <{name}><rdf:Alt>{item}</rdf:Alt></{name}>\n");
        }
    }
    let used = |prefix: &str| body.contains(&format!("<{prefix}:"));
    let declared = NAMESPACES.iter().filter(|(prefix, _)| *prefix != "xml" && used(prefix));
    let declared: String =
        declared.map(|(prefix, address)| format!("\n    xmlns:{prefix}=\"{address}\"")).collect();
    let rdf = NAMESPACES[0].1;
    let declared = declared.replace(&format!("\n    xmlns:rdf=\"{rdf}\""), "");
    format!(
        "{BEGIN}<x:xmpmeta xmlns:x=\"adobe:ns:meta/\">\n <rdf:RDF xmlns:rdf=\"{rdf}\">\n  \
         <rdf:Description rdf:about=\"\"{declared}>\n{body}  </rdf:Description>\n </rdf:RDF>\n\
         </x:xmpmeta>{END}"
    )
}

fn escaped(text: &str) -> String {
    // Characters that XML has not at all would make the packet unreadable.
    let allowed = |c: char| !c.is_control() || "\t\n\r".contains(c);
    let text: String = text.chars().filter(|c| allowed(*c)).collect();
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\r', "&#13;")
}

/// What a packet says, in its order: the name of a property with its prefix, and its text. What is
/// damaged ends the list.
pub(crate) fn properties(packet: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open: Vec<&str> = Vec::new();
    let mut rest = packet;
    while let Some(start) = rest.find('<') {
        let text = &rest[..start];
        let property = open.iter().rev().find(|name| !name.starts_with("rdf:"));
        if let Some(name) = property.filter(|_| !text.trim().is_empty()) {
            found.push(((*name).to_owned(), unescaped(text)));
        }
        let Some(length) = end_of_tag(&rest[start..]) else { break };
        let tag = &rest[start + 1..start + length];
        rest = &rest[start + length + 1..];
        if let Some(_name) = tag.strip_prefix('/') {
            open.pop();
        } else if !tag.starts_with(['?', '!']) {
            let name = tag.split([' ', '\t', '\r', '\n', '/']).next().unwrap_or_default();
            found.extend(attributes(&tag[name.len()..]));
            if !tag.ends_with('/') {
                open.push(name);
            }
        }
    }
    let said = |name: &str| {
        !["xmlns", "rdf", "xml", "x"].contains(&name.split(':').next().unwrap_or_default())
    };
    found.retain(|(name, _)| said(name));
    found
}

/// The place of the `>` that ends the tag that a text begins with; one within quotes is none.
fn end_of_tag(text: &str) -> Option<usize> {
    let mut quote = None;
    for (place, c) in text.char_indices() {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c == '>' => return Some(place),
            _ => {}
        }
    }
    None
}

fn attributes(mut text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    while let Some((name, rest)) = text.split_once('=') {
        let rest = rest.trim_start();
        let Some(quote) = rest.chars().next().filter(|c| "\"'".contains(*c)) else { break };
        let Some((value, after)) = rest[1..].split_once(quote) else { break };
        found.push((name.trim().to_owned(), unescaped(value)));
        text = after;
    }
    found
}

fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        plain += before;
        let (name, behind) = after.split_once(';').unwrap_or((after, ""));
        let number = name.strip_prefix("#x").map(|digits| u32::from_str_radix(digits, 16));
        let number = number.or_else(|| name.strip_prefix('#').map(str::parse::<u32>));
        match (name, number) {
            ("amp", _) => plain.push('&'),
            ("lt", _) => plain.push('<'),
            ("gt", _) => plain.push('>'),
            ("quot", _) => plain.push('"'),
            ("apos", _) => plain.push('\''),
            (_, Some(Ok(number))) => plain.extend(char::from_u32(number)),
            _ => {
                plain.push('&');
                rest = after;
                continue;
            }
        }
        rest = behind;
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::sample::provenance;

    #[test]
    fn what_is_written_is_read_again_and_is_xml() {
        let mut about = provenance();
        about.owner = "A & B <studio> \"é\"".to_owned();
        about.origin.china = true;
        about.origin.prompt = Some("玻璃球\nwith \u{1}a < b".to_owned());
        let said = properties(&packet(&about, true));
        let of = |name: &str| {
            said.iter().find(|(found, _)| found == name).map(|(_, text)| text.as_str())
        };
        assert_eq!(of("dc:rights"), Some("A & B <studio> \"é\""));
        assert_eq!(
            of("Iptc4xmpExt:DigitalSourceType"),
            Some(super::super::TRAINED_ALGORITHMIC_MEDIA)
        );
        assert_eq!(of("Iptc4xmpExt:AISystemVersionUsed"), Some("0.1.0"));
        assert_eq!(of("Iptc4xmpExt:AIPromptInformation"), Some("玻璃球\nwith a < b"));
        assert_eq!(of("xmp:CreateDate"), Some("1970-01-01T00:00:00Z"));
        assert_eq!(of(RECIPE), Some(about.recipe.as_str()));
        let label: serde_json::Value = serde_json::from_str(of("TC260:AIGC").unwrap()).unwrap();
        assert_eq!(label["Label"], "1");
        assert_eq!(label["ContentProducer"], "A & B <studio> \"é\"");
        // Nobody asked for these.
        let plain = packet(&provenance(), false);
        for name in ["AIGC", "AIPromptInformation", "Recipe"] {
            assert!(!plain.contains(name), "{name} in {plain}");
        }
    }

    #[test]
    fn packets_of_others_are_read_and_damaged_ones_bring_nothing_down() {
        let other = "<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF><rdf:Description rdf:about='' \
                     xmp:CreatorTool='It &quot;is&quot; &#x41;&#66; > all' \n TC260:AIGC=\"{&quot;Label&quot;:1}\"/>\
                     <rdf:Description><dc:creator><rdf:Seq><rdf:li>One</rdf:li><rdf:li>Two</rdf:li>\
                     </rdf:Seq></dc:creator></rdf:Description></rdf:RDF></x:xmpmeta>";
        let said = properties(other);
        let pairs: Vec<_> =
            said.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let expected = [
            ("xmp:CreatorTool", "It \"is\" AB > all"),
            ("TC260:AIGC", "{\"Label\":1}"),
            ("dc:creator", "One"),
            ("dc:creator", "Two"),
        ];
        assert_eq!(pairs, expected);
        for end in (0..other.len()).filter(|end| other.is_char_boundary(*end)) {
            let _ = properties(&other[..end]);
        }
        let _ = properties("<<>&;</a></b>&");
    }
}
