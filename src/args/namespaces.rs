//! Names of namespaces.

use std::{collections::BTreeSet, str::FromStr};

/// Namespaces by their names, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespaces(BTreeSet<String>);

impl Namespaces {
    /// All that these name, each once: a namespace that is watched twice would have its tokens counted twice. Of none at
    /// all: none, which stands for all that there are.
    pub fn union(all: &[Self]) -> Vec<String> {
        let names: BTreeSet<&String> = all.iter().flat_map(|names| &names.0).collect();
        names.into_iter().cloned().collect()
    }
}

impl FromStr for Namespaces {
    type Err = String;

    /// Reads names between commas, of which one may be the last. What names none is refused: it comes from a variable or a
    /// template that is unexpectedly empty, and must not stand for all.
    fn from_str(text: &str) -> Result<Self, String> {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        let names: Result<BTreeSet<String>, String> = names.map(namespace).collect();
        let names = names.map_err(|why| format!("{why}; separate names with commas"))?;
        if names.is_empty() {
            return Err(
                "names no namespace; to watch all, leave out --namespaces and TOKENWRIGHT_NAMESPACES".to_owned(),
            );
        }
        Ok(Self(names))
    }
}

/// Reads the name of one namespace, which is a DNS label of RFC 1123.
pub(super) fn namespace(text: &str) -> Result<String, String> {
    let may_be_inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_label = (1..=63).contains(&text.len()) && text.bytes().all(may_be_inside);
    if !is_label || text.starts_with('-') || text.ends_with('-') {
        return Err(format!(
            "{text:?} is no namespace's name, which has up to 63 lowercase letters and digits, and dashes between them"
        ));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn union(all: &[&str]) -> Result<Vec<String>, String> {
        let all: Result<Vec<Namespaces>, String> = all.iter().map(|text| text.parse()).collect();
        all.map(|all| Namespaces::union(&all))
    }

    #[test]
    fn namespaces_are_named_once() {
        assert_eq!(union(&["shop, blog,shop,"]).unwrap(), ["blog", "shop"]);
        assert_eq!(union(&["shop,a-1", "shop", "blog"]).unwrap(), ["a-1", "blog", "shop"]);
        assert_eq!(union(&[]).unwrap(), [""; 0]);
    }

    #[test]
    fn what_names_none_does_not_stand_for_all() {
        for empty in ["", ",", " , ,"] {
            let why = union(&[empty]).unwrap_err();
            assert!(why.starts_with("names no namespace; "), "{why}");
        }
    }

    #[test]
    fn what_cannot_be_a_name_is_refused() {
        let long = "a".repeat(64);
        for wrong in ["Shop!", "shop shop2", "-shop", "shop-", "shop.blog", "größe", &long] {
            let why = union(&[&format!("blog,{wrong}")]).unwrap_err();
            assert!(why.starts_with(&format!("{wrong:?} is no namespace's name")), "{why}");
        }
    }
}
