//! Names that somebody may have meant.

/// How many are told.
const TOLD: usize = 5;
/// How like a name must be, of 1.
const LIKE: f64 = 0.8;

/// The names whose last part is most like this text, the best first.
pub(super) fn nearest(text: &str, names: &[String]) -> Vec<String> {
    let last = |name: &str| name.rsplit("::").next().unwrap_or_default().to_owned();
    let wanted = last(text);
    let mut found: Vec<(f64, String)> = Vec::new();
    for name in names {
        let part = last(name);
        let like = strsim::jaro_winkler(&wanted, &part);
        if like >= LIKE && !found.iter().any(|(_, known)| *known == part) {
            found.push((like, part));
        }
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    found.into_iter().take(TOLD).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_like_comes_first_and_the_unlike_not_at_all() {
        let names = ["a::granted_in_order", "b::granted_in_turn", "c::x", "d::granted_in_order"];
        let names = names.map(str::to_owned);
        let near = nearest("granted_in_ordre", &names);
        assert_eq!(near, ["granted_in_order", "granted_in_turn"]);
        assert!(nearest("zzz", &names).is_empty());
    }
}
