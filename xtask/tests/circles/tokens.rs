//! The tokens of a Rust source, for checks that read sources.

/// The names, numbers and punctuation of a source, without texts, letters, lifetimes and comments.
pub(crate) fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let len = match first {
            _ if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            _ if rest.starts_with("/*") => comment(rest),
            '"' => quoted(rest),
            '\'' => tick(rest),
            _ if first.is_alphanumeric() || first == '_' => {
                let len = word(rest);
                let behind = rest.get(len..).unwrap_or_default();
                let hashes = behind.len() - behind.trim_start_matches('#').len();
                let is_raw = matches!(rest.get(..len), Some("r" | "br" | "cr"))
                    && behind.trim_start_matches('#').starts_with('"');
                if is_raw {
                    let end = format!("\"{}", "#".repeat(hashes));
                    let from = len + hashes + 1;
                    let inner = rest.get(from..).unwrap_or_default();
                    from + inner.find(&end).map_or(inner.len(), |at| at + end.len())
                } else {
                    tokens.push(rest.get(..len).unwrap_or_default().to_owned());
                    len
                }
            }
            _ if rest.starts_with("::") => {
                tokens.push("::".to_owned());
                2
            }
            _ => {
                if !first.is_whitespace() {
                    tokens.push(first.to_string());
                }
                first.len_utf8()
            }
        };
        rest = rest.get(len..).unwrap_or_default();
    }
    tokens
}

/// The place of the bracket that closes the one at this place; the place itself if there is none.
pub(crate) fn close(tokens: &[String], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    tokens.len()
}

fn word(text: &str) -> usize {
    text.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len())
}

/// The length of the comment that a text begins with. Comments can be in comments.
fn comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// The length of the quoted text that a text begins with.
fn quoted(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of the lifetime or letter that a text begins with.
fn tick(text: &str) -> usize {
    let mut letters = text.char_indices().skip(1);
    match (letters.next(), letters.next()) {
        // The letter behind the backslash may be a tick, too.
        (Some((_, '\\')), Some((at, escaped))) => {
            let from = at + escaped.len_utf8();
            from + text.get(from..).and_then(|rest| rest.find('\'')).map_or(0, |at| at + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1 + word(text.get(1..).unwrap_or_default()),
    }
}

#[test]
fn texts_and_comments_are_no_tokens() {
    let text =
        r##"fn a<'b>(c: &'b str) { /* x /* y */ z */ d("e \" {", '\'', '{', r#"f"g"#) } // h"##;
    assert_eq!(tokens(text).join(" "), "fn a < > ( c : & str ) { d ( , , , ) }");
    assert_eq!(tokens("crate::a::{b, c};").join(" "), "crate :: a :: { b , c } ;");
}

#[test]
fn a_bracket_is_closed_by_its_own() {
    let all = tokens("a { b ( c ) [ d ] } e ;");
    assert_eq!(close(&all, 1), 9);
    assert_eq!(close(&all, 0), 0);
}
