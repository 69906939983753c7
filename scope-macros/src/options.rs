//! The one table of options: what each is called, where it may stand, and what its value looks like.

use crate::diagnostics::nearest;

/// An option, by meaning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Key {
    Timeout,
    Deadline,
    Shield,
    Name,
    Grace,
    Cooperative,
    CleanupTimeout,
    Fallback,
    Error,
    Bubble,
    Link,
    CancelOn,
    Token,
    Limit,
    Supervise,
    Scope,
    Crate,
    Background,
    SkipIfCancelled,
    Abandon,
    In,
    EveryAwait,
}

/// Where options are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    Attribute,
    Scope,
    BlockingScope,
    Spawn,
    Fork,
    /// A `spawn!` that is an arm.
    Arm,
    SpawnBlocking,
    /// `#[scope_runtime::test]`
    Test,
}

impl Place {
    pub(crate) fn called(self) -> &'static str {
        match self {
            Place::Attribute => "#[cancel_scope]",
            Place::Scope => "scope!",
            Place::Spawn | Place::Arm => "spawn!",
            Place::Fork => "fork!",
            Place::BlockingScope => "blocking_scope!",
            Place::SpawnBlocking => "spawn_blocking!",
            Place::Test => "#[scope_runtime::test]",
        }
    }
}

pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) name: &'static str,
    pub(crate) places: &'static [Place],
    /// How it is written, for messages.
    pub(crate) example: &'static str,
}

/// Both forms of a scope.
const SCOPES: &[Place] = &[Place::Attribute, Place::Scope, Place::BlockingScope];
/// Those that have an await to do something at.
const AWAITING: &[Place] = &[Place::Attribute, Place::Scope];
const ATTRIBUTES: &[Place] = &[Place::Attribute, Place::Test];
const SPAWNS: &[Place] = &[Place::Spawn, Place::SpawnBlocking];
const CHILDREN: &[Place] = &[Place::Spawn, Place::Fork, Place::SpawnBlocking];
const ALL: &[Place] = &[
    Place::Attribute,
    Place::Scope,
    Place::BlockingScope,
    Place::Spawn,
    Place::Fork,
    Place::Arm,
    Place::SpawnBlocking,
];

#[rustfmt::skip]
pub(crate) const TABLE: &[Entry] = &[
    Entry { key: Key::Timeout,         name: "timeout",           places: SCOPES,                          example: r#"timeout = "3s""# },
    Entry { key: Key::Deadline,        name: "deadline",          places: SCOPES,                          example: "deadline = instant" },
    Entry { key: Key::Shield,          name: "shield",            places: SCOPES,                          example: "shield" },
    Entry { key: Key::Name,            name: "name",              places: ALL,                             example: r#"name = "fetch""# },
    Entry { key: Key::Grace,           name: "grace",             places: SCOPES,                          example: r#"grace = "3s""# },
    Entry { key: Key::Cooperative,     name: "cooperative",       places: SCOPES,                          example: "cooperative" },
    Entry { key: Key::CleanupTimeout,  name: "cleanup_timeout",   places: SCOPES,                          example: r#"cleanup_timeout = "3s""# },
    Entry { key: Key::Fallback,        name: "fallback",          places: SCOPES,                          example: "fallback = |cancelled| value" },
    Entry { key: Key::Error,           name: "error",             places: SCOPES,                          example: "error = MyError::Stopped" },
    Entry { key: Key::Bubble,          name: "bubble",            places: SCOPES,                          example: "bubble" },
    Entry { key: Key::Link,            name: "link",              places: SCOPES,                          example: "link = handle" },
    Entry { key: Key::CancelOn,        name: "cancel_on",         places: AWAITING,                        example: "cancel_on = future" },
    Entry { key: Key::Token,           name: "token",             places: AWAITING,                        example: "token = token" },
    Entry { key: Key::Limit,           name: "limit",             places: SCOPES,                          example: "limit = 8" },
    Entry { key: Key::Supervise,       name: "supervise",         places: SCOPES,                          example: "supervise" },
    Entry { key: Key::Scope,           name: "scope",             places: &[Place::Attribute],             example: "scope = s" },
    Entry { key: Key::Crate,           name: "crate",             places: ATTRIBUTES,                      example: "crate = ::scope_runtime" },
    Entry { key: Key::Background,      name: "background",        places: CHILDREN,                        example: "background" },
    Entry { key: Key::SkipIfCancelled, name: "skip_if_cancelled", places: &[Place::Spawn, Place::Fork],    example: "skip_if_cancelled" },
    Entry { key: Key::Abandon,         name: "abandon",           places: &[Place::SpawnBlocking],         example: "abandon" },
    Entry { key: Key::In,              name: "in",                places: SPAWNS,                          example: "in s" },
    Entry { key: Key::EveryAwait,      name: "every_await",       places: &[Place::Test],                  example: "every_await" },
];

/// Options that exclude each other, and why.
pub(crate) const CONFLICTS: &[(Key, Key, &str)] = &[
    (Key::Timeout, Key::Deadline, "both bound this scope; keep one, or nest two scopes"),
    (Key::Grace, Key::Cooperative, "both say how long a cancel stays soft; keep one"),
];

impl Key {
    pub(crate) fn entry(self) -> &'static Entry {
        // Every key has its line: `every_key_has_its_line` holds this true.
        TABLE.iter().find(|entry| entry.key == self).unwrap_or(&TABLE[0])
    }

    pub(crate) fn name(self) -> &'static str {
        self.entry().name
    }
}

pub(crate) fn find(name: &str) -> Option<&'static Entry> {
    TABLE.iter().find(|entry| entry.name == name)
}

/// The options of one place, in the table's order.
pub(crate) fn names(place: Place) -> impl Iterator<Item = &'static str> {
    TABLE.iter().filter(move |entry| entry.places.contains(&place)).map(|entry| entry.name)
}

/// Whether `name` was meant as an option, if perhaps misspelt, or misplaced.
pub(crate) fn resembles(name: &str) -> bool {
    find(name).is_some() || nearest(name, TABLE.iter().map(|entry| entry.name)).is_some()
}

#[cfg(test)]
mod tests {
    use super::{Key, TABLE};

    #[test]
    fn every_key_has_its_line() {
        use Key::*;
        for key in [
            Timeout,
            Deadline,
            Shield,
            Name,
            Grace,
            Cooperative,
            CleanupTimeout,
            Fallback,
            Error,
            Bubble,
            Link,
            CancelOn,
            Token,
            Limit,
            Supervise,
            Scope,
            Crate,
            Background,
            SkipIfCancelled,
            Abandon,
            In,
            EveryAwait,
        ] {
            assert_eq!(TABLE.iter().filter(|entry| entry.key == key).count(), 1, "{key:?}");
            assert_eq!(key.entry().key, key);
        }
    }
}
