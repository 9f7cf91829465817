//! Names where identifiers are wanted: one object is found, or the candidates are told.

use std::fmt::Display;
use std::future::Future;
use std::str::FromStr;

use super::table::harmless;
use super::{Exit, Failure};

/// From here on, a name is near enough to be what was meant.
const NEAR: f64 = 0.8;
/// No more candidates than can be read at a glance.
const MOST: usize = 10;

/// An object that can be named.
pub(super) trait Named {
    /// What it is: `account`.
    const KIND: &'static str;

    /// Its identifier.
    fn id(&self) -> impl Display;

    /// What people call it; need not be unique.
    fn name(&self) -> &str;

    /// Another text that is its alone.
    fn alias(&self) -> Option<&str> {
        None
    }
}

/// The object that is meant. What looks like an id is one, and is asked for by itself; else all that there are are looked through.
pub(super) async fn by_id_or_name<T: Named, Id: FromStr, F: Future<Output = Result<T, Failure>>>(
    wanted: &str,
    by_id: impl FnOnce(Id) -> F,
    all: impl Future<Output = Result<Vec<T>, Failure>>,
) -> Result<T, Failure> {
    match wanted.parse() {
        Ok(id) => by_id(id).await,
        Err(_) => one(wanted, all.await?),
    }
}

/// The one object whose id, alias or exact name is `wanted`.
pub(super) fn one<T: Named>(wanted: &str, all: Vec<T>) -> Result<T, Failure> {
    let is_its_alone = |object: &T| object.id().to_string() == wanted || object.alias() == Some(wanted);
    let (mut found, mut others): (Vec<T>, Vec<T>) = all.into_iter().partition(is_its_alone);
    if found.is_empty() {
        (found, others) = others.into_iter().partition(|object| object.name() == wanted);
    }
    match found.pop() {
        None => Err(unknown(wanted, &others)),
        Some(object) if found.is_empty() => Ok(object),
        Some(object) => {
            found.push(object);
            let (wanted, list) = (harmless(wanted), listed(&found));
            let message = format!("more than one {} is called {wanted:?}; give the id:{list}", T::KIND);
            Err(Failure::new(Exit::Usage, message))
        }
    }
}

/// The only one there is; `flag` is what to say where there are more.
pub(super) fn only<T: Named>(all: Vec<T>, flag: &str) -> Result<T, Failure> {
    let list = listed(&all);
    let mut all = all.into_iter();
    match (all.next(), all.next()) {
        (Some(object), None) => Ok(object),
        (Some(_), Some(_)) => {
            let message =
                format!("the credential reaches more than one {}; name it with {flag}:{list}", T::KIND);
            Err(Failure::new(Exit::Usage, message))
        }
        (None, _) => {
            let message =
                format!("the credential reaches no {} that it may list; name it with {flag}", T::KIND);
            Err(Failure::new(Exit::NotFound, message))
        }
    }
}

fn unknown<T: Named>(wanted: &str, others: &[T]) -> Failure {
    let folded = wanted.to_lowercase();
    let by_name = |object: &T| strsim::jaro_winkler(&object.name().to_lowercase(), &folded);
    // Aliases of different objects have much in common, such as the domain of their hosts: there, every change counts.
    let by_alias = |alias: &str| strsim::normalized_damerau_levenshtein(&alias.to_lowercase(), &folded);
    let nearest = |object| {
        let (name, alias) = ((by_name(object), object.name()), object.alias());
        let alias = alias.map(|alias| (by_alias(alias), alias));
        alias.filter(|(likeness, _)| *likeness > name.0).unwrap_or(name)
    };
    let mut near: Vec<_> = others.iter().map(nearest).collect();
    near.retain(|(likeness, _)| *likeness >= NEAR);
    near.sort_by(|(one, _), (two, _)| two.total_cmp(one));
    near.dedup_by_key(|(_, name)| *name);
    let names: Vec<_> = near.iter().take(3).map(|(_, name)| format!("{:?}", harmless(name))).collect();
    let hint =
        if names.is_empty() { String::new() } else { format!("; did you mean {}?", names.join(" or ")) };
    let message = format!("there is no {} called {:?}{hint}", T::KIND, harmless(wanted));
    Failure::new(Exit::NotFound, message)
}

/// One line for each object, behind a line end.
fn listed<T: Named>(objects: &[T]) -> String {
    let mut lines: Vec<_> =
        objects.iter().map(|object| format!("\n  {}  {}", object.id(), harmless(object.name()))).collect();
    lines.sort();
    let left_out = lines.len().saturating_sub(MOST);
    lines.truncate(MOST);
    if left_out > 0 {
        lines.push(format!("\n  and {left_out} more"));
    }
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Thing(u32, &'static str);

    impl Named for Thing {
        const KIND: &'static str = "thing";

        fn id(&self) -> impl Display {
            self.0
        }

        fn name(&self) -> &str {
            self.1
        }

        fn alias(&self) -> Option<&str> {
            (self.0 == 3).then_some("third")
        }
    }

    fn things() -> Vec<Thing> {
        vec![Thing(1, "deploy"), Thing(2, "backup"), Thing(3, "backup"), Thing(4, "1")]
    }

    #[test]
    fn an_id_and_an_alias_count_before_names() {
        for (wanted, id) in [("1", 1), ("third", 3), ("deploy", 1), ("4", 4)] {
            assert_eq!(one(wanted, things()).unwrap().0, id, "{wanted}");
        }
    }

    #[test]
    fn a_name_of_two_is_refused_with_the_candidates() {
        let failure = one("backup", things()).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        let told = "more than one thing is called \"backup\"; give the id:\n  2  backup\n  3  backup";
        assert_eq!(failure.to_string(), told);
    }

    #[test]
    fn an_unknown_name_is_told_with_the_near_ones() {
        for (wanted, hint) in [
            ("Deplyo", "; did you mean \"deploy\"?"),
            ("back-up", "; did you mean \"backup\"?"),
            ("thirdd", "; did you mean \"third\"?"),
            ("zzz", ""),
        ] {
            let failure = one(wanted, things()).unwrap_err();
            assert_eq!(failure.exit, Exit::NotFound);
            let told = format!("there is no thing called {wanted:?}{hint}");
            assert_eq!(failure.to_string(), told);
        }
    }

    #[test]
    fn what_is_the_only_one_need_not_be_named() {
        assert_eq!(only(vec![Thing(7, "x")], "--thing").unwrap(), Thing(7, "x"));
        assert_eq!(only(Vec::<Thing>::new(), "--thing").unwrap_err().exit, Exit::NotFound);
        let many = (0..12).map(|n| Thing(n, "x")).collect();
        let failure = only::<Thing>(many, "--thing").unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.to_string().ends_with("and 2 more"), "{failure}");
    }
}
