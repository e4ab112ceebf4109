//! CEL's functions of regular expressions, in the dialect of schemas.
//!
//! The libraries have them in the dialect of the `regex` crate, and compile a pattern at every call, which costs more than
//! the whole rest of a write. The real server compiles the patterns that rules write out once; here they are kept.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use kube_cel::cel::extractors::{Arguments, This};
use kube_cel::cel::{Context, ExecutionError, ResolveResult, Value as Cel};
use regex::Regex;

use super::pattern;

/// Far more than the rules of a cluster write out; patterns that come from objects could go on for ever.
const MOST_KEPT: usize = 1024;

type Text = Arc<String>;

/// Puts these in the place of those of the same names.
pub(super) fn register(context: &mut Context<'_>) {
    context.add_function("matches", matches);
    context.add_function("find", find);
    context.add_function("findAll", find_all);
}

fn compiled(pattern: &Text, function: &str) -> Result<Arc<Regex>, ExecutionError> {
    static KEPT: LazyLock<Mutex<HashMap<Text, Arc<Regex>>>> = LazyLock::new(Mutex::default);
    let kept = || KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = kept().get(pattern) {
        return Ok(known.clone());
    }
    let regex = pattern::compile(pattern).map_err(|why| ExecutionError::function_error(function, why))?;
    let regex = Arc::new(regex);
    let mut kept = kept();
    if kept.len() >= MOST_KEPT {
        kept.clear();
    }
    kept.insert(pattern.clone(), regex.clone());
    Ok(regex)
}

fn matches(This(this): This<Text>, pattern: Text) -> Result<bool, ExecutionError> {
    Ok(compiled(&pattern, "matches")?.is_match(&this))
}

/// The first match, or an empty text.
fn find(This(this): This<Text>, pattern: Text) -> Result<Text, ExecutionError> {
    let regex = compiled(&pattern, "find")?;
    let found = regex.find(&this).map_or("", |found| found.as_str());
    Ok(Arc::new(found.to_owned()))
}

/// All matches, or the first so many; below zero, all.
fn find_all(This(this): This<Text>, Arguments(arguments): Arguments) -> ResolveResult {
    let (pattern, limit) = match arguments.as_slice() {
        [Cel::String(pattern)] => (pattern, usize::MAX),
        [Cel::String(pattern), Cel::Int(limit)] => (pattern, usize::try_from(*limit).unwrap_or(usize::MAX)),
        _ => return Err(ExecutionError::NoSuchOverload),
    };
    let regex = compiled(pattern, "findAll")?;
    let found = regex.find_iter(&this).take(limit);
    let found = found.map(|found| Cel::String(Arc::new(found.as_str().to_owned())));
    Ok(Cel::List(Arc::new(found.collect())))
}

#[cfg(test)]
mod tests {
    use kube_cel::cel::Program;

    use super::super::value::FUNCTIONS;
    use super::*;

    fn run(rule: &str) -> ResolveResult {
        Program::compile(rule).unwrap().execute(&FUNCTIONS)
    }

    #[test]
    fn patterns_mean_what_they_mean_in_schemas() {
        for rule in [
            r"'123'.matches('^\\d+$')",
            r"!'٣'.matches('^\\d+$')",
            r"matches('a1', '[a-z][0-9]')",
            r"'a1 b2'.find('[0-9]') == '1'",
            "'a'.find('[0-9]') == ''",
            r"'1d12h'.findAll('[0-9]+') == ['1', '12']",
            r"'1d12h'.findAll('[0-9]+', 1) == ['1']",
            r"'1d12h'.findAll('[0-9]+', 0) == []",
            r"'1d12h'.findAll('[0-9]+', -1) == ['1', '12']",
        ] {
            assert_eq!(run(rule), Ok(Cel::Bool(true)), "{rule}");
        }
    }

    #[test]
    fn a_pattern_that_is_none_is_said_so_as_in_schemas() {
        for function in ["matches", "find", "findAll"] {
            let answer = run(&format!("'a'.{function}('a(b')")).unwrap_err();
            assert!(
                answer
                    .to_string()
                    .contains("error parsing regexp: missing closing ): `a(b`"),
                "{answer}"
            );
        }
    }

    #[test]
    fn a_pattern_is_compiled_once() {
        let pattern = Arc::new("^once$".to_owned());
        let (first, second) = (compiled(&pattern, "").unwrap(), compiled(&pattern, "").unwrap());
        assert!(Arc::ptr_eq(&first, &second));
    }
}
